//! Where quoted fields of CSV begin and end.

/// The byte that encloses a field.
pub(super) const QUOTE: u8 = b'"';
/// The byte between two fields.
pub(super) const COMMA: u8 = b',';

/// Follows the quotes of one record, over as many pieces as it comes in.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    state: State,
    bad: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A field begins: a quote here encloses it.
    #[default]
    Start,
    /// In a field without quotes, where a quote is a character like any other.
    Plain,
    /// Between quotes.
    Quoted,
    /// After a quote between quotes: the end of the field, or half of a doubled quote.
    Closing,
    /// After a carriage return that followed the end of a quoted field.
    Return,
}

impl Quotes {
    /// Reads on. Gives the length up to the line feed that ends the record, that byte included.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            at += match self.state {
                State::Quoted => memchr::memchr(QUOTE, &bytes[at..])?,
                State::Plain => memchr::memchr2(COMMA, b'\n', &bytes[at..])?,
                State::Start | State::Closing | State::Return => 0,
            };
            let byte = bytes[at];
            at += 1;
            if byte == b'\n' && self.state != State::Quoted {
                return Some(at);
            }
            self.state = self.after(byte);
        }
        None
    }

    fn after(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Quoted, QUOTE) => State::Closing,
            (State::Start | State::Closing, QUOTE) | (State::Quoted, _) => State::Quoted,
            (State::Start | State::Plain | State::Closing, COMMA) => State::Start,
            (State::Closing, b'\r') => State::Return,
            (State::Closing | State::Return, _) => {
                self.bad = true;
                State::Plain
            }
            (State::Start | State::Plain, _) => State::Plain,
        }
    }

    /// Whether a quote is open.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// Whether a quoted field was followed by anything but a comma or an end of line.
    pub(super) fn is_bad(&self) -> bool {
        self.bad
    }
}
