//! The threads that read one feed: one cuts the stream into blocks, all take rows from them.
//!
//! The reading thread hands blocks to the others through a bounded queue. When it is full, there is more work than
//! hands, and the reading thread takes a block itself; so no thread rests while there is something to do, and two
//! cores are two threads. What blocks gave is collected in the order of the blocks.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::taker::{Gleaned, Taker, Wanted};
use crate::feed::{Block, Feed, FeedError, Space};

/// Blocks that wait for each thread beside the reading one: two, so that it finds one while the reader takes another.
const QUEUE_BLOCKS: usize = 2;

/// A block and its number, or what it gave.
type Numbered<T> = (u64, T);

/// Reads the feed to its end and hands what its blocks gave to `collect`, in order.
///
/// # Errors
/// The first of the feed's, in the order of the blocks, or that of `collect`.
pub(super) fn work(
    feed: &mut Feed<'_>,
    takers: &mut [Taker<'_>],
    wanted: &Wanted<'_>,
    mut collect: impl FnMut(Gleaned) -> Result<(), FeedError>,
) -> Result<(), FeedError> {
    let Some((own, others)) = takers.split_first_mut() else { return Ok(()) };
    let Some(first) = feed.block(Space::default())? else { return Ok(()) };
    if first.is_last() || others.is_empty() {
        let mut next = Some(first);
        while let Some(block) = next.filter(|_| !own.is_full()) {
            collect(own.take(&block, wanted))?;
            next = feed.block(block.into_space())?;
        }
        return Ok(());
    }
    let (to_others, waiting) = sync_channel(QUEUE_BLOCKS * others.len());
    let waiting = Mutex::new(waiting);
    let (done, gleaned) = channel();
    thread::scope(|scope| {
        for taker in others {
            let (waiting, done) = (&waiting, done.clone());
            scope.spawn(move || serve(taker, wanted, waiting, &done));
        }
        // The queue's end is dropped on every path out of here, and the threads end.
        let mut reader = Reader { own, wanted, to_others, done, ordered: Ordered::default(), spaces: Vec::new() };
        reader.read(feed, first, &gleaned, &mut collect)?;
        let Reader { mut ordered, to_others, done, .. } = reader;
        drop((to_others, done));
        gleaned.iter().try_for_each(|(number, (gleaned, _))| ordered.put(number, gleaned, &mut collect))
    })
}

/// Takes blocks until there are no more.
fn serve(
    taker: &mut Taker<'_>,
    wanted: &Wanted<'_>,
    waiting: &Mutex<Receiver<Numbered<Block>>>,
    done: &Sender<Numbered<(Gleaned, Space)>>,
) {
    loop {
        // Held while it waits: then the others have nothing to do either.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, block)) = next else { return };
        let gleaned = taker.take(&block, wanted);
        if done.send((number, (gleaned, block.into_space()))).is_err() {
            return;
        }
    }
}

/// The thread that reads.
struct Reader<'t, 'a> {
    own: &'t mut Taker<'a>,
    wanted: &'t Wanted<'t>,
    to_others: SyncSender<Numbered<Block>>,
    done: Sender<Numbered<(Gleaned, Space)>>,
    ordered: Ordered,
    spaces: Vec<Space>,
}

impl Reader<'_, '_> {
    fn read(
        &mut self,
        feed: &mut Feed<'_>,
        first: Block,
        gleaned: &Receiver<Numbered<(Gleaned, Space)>>,
        collect: &mut impl FnMut(Gleaned) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        let (mut next, mut number) = (Some(first), 0);
        while let Some(block) = next.filter(|_| !self.own.is_full()) {
            match self.to_others.try_send((number, block)) {
                Ok(()) => {}
                Err(TrySendError::Full((number, block)) | TrySendError::Disconnected((number, block))) => {
                    let gleaned = self.own.take(&block, self.wanted);
                    // Received below: both ends are here.
                    let _ = self.done.send((number, (gleaned, block.into_space())));
                }
            }
            for (number, (gleaned, space)) in gleaned.try_iter() {
                self.spaces.push(space);
                self.ordered.put(number, gleaned, collect)?;
            }
            next = feed.block(self.spaces.pop().unwrap_or_default())?;
            number += 1;
        }
        Ok(())
    }
}

/// Puts what blocks gave in the order of the blocks.
#[derive(Default)]
struct Ordered {
    next: u64,
    early: BTreeMap<u64, Gleaned>,
}

impl Ordered {
    fn put(
        &mut self,
        number: u64,
        gleaned: Gleaned,
        collect: &mut impl FnMut(Gleaned) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        self.early.insert(number, gleaned);
        while let Some(gleaned) = self.early.remove(&self.next) {
            self.next += 1;
            collect(gleaned)?;
        }
        Ok(())
    }
}
