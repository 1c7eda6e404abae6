//! Who lives in the theatre's town: seven kinds of people, with the share of each kind and of 100 of them how many
//! have a taste. Only tables.

/// A kind of people.
#[derive(Debug)]
pub struct Persona {
    /// Their share of the town, relative to the other kinds.
    pub weight: u32,
    /// Of 100 of them, how many have been in the theatre.
    pub spectator: u32,
    /// Of 100 of them, how many belong to the segment.
    pub tastes: &'static [(&'static str, u32)],
}

/// The town's districts.
pub const DISTRICTS: [&str; 8] =
    ["old-town", "riverside", "north-hill", "harbour", "university", "east-bank", "garden-suburb", "station"];

/// Every kind of people.
pub const PERSONAS: [Persona; 7] = [THEATRE_LOVER, OPERA_LOVER, FAMILY, NIGHT_OWL, SPORTS_FAN, TOURIST, HOMEBODY];

const THEATRE_LOVER: Persona = Persona {
    weight: 14,
    spectator: 48,
    tastes: &[
        ("interest.theatre", 92),
        ("interest.opera", 22),
        ("interest.dance", 24),
        ("interest.literature", 38),
        ("interest.comedy, stand-up", 18),
        ("interest.\"off\" theatre", 26),
        ("interest.ticketing", 72),
        ("intent.ticket.tonight", 14),
        ("intent.ticket.weekend", 30),
        ("intent.subscription", 16),
        ("intent.dinner-and-show", 18),
        ("city.museums", 42),
        ("city.restaurants", 34),
        ("city.Old Town Market", 20),
        ("city.nightlife", 18),
    ],
};

const OPERA_LOVER: Persona = Persona {
    weight: 7,
    spectator: 40,
    tastes: &[
        ("interest.theatre", 46),
        ("interest.opera", 84),
        ("interest.classical-music", 78),
        ("interest.dance", 34),
        ("interest.ticketing", 52),
        ("intent.ticket.weekend", 22),
        ("intent.subscription", 30),
        ("intent.dinner-and-show", 26),
        ("city.museums", 40),
        ("city.restaurants", 46),
    ],
};

const FAMILY: Persona = Persona {
    weight: 20,
    spectator: 14,
    tastes: &[
        ("interest.family-shows", 46),
        ("interest.circus", 26),
        ("interest.theatre", 9),
        ("interest.cinema", 30),
        ("interest.ticketing", 20),
        ("intent.ticket.weekend", 18),
        ("city.with-children", 72),
        ("city.parks", 60),
        ("city.Old Town Market", 26),
    ],
};

const NIGHT_OWL: Persona = Persona {
    weight: 22,
    spectator: 8,
    tastes: &[
        ("interest.pop-music", 58),
        ("interest.cinema", 36),
        ("interest.comedy, stand-up", 34),
        ("interest.theatre", 10),
        ("interest.dance", 12),
        ("interest.ticketing", 28),
        ("intent.ticket.tonight", 24),
        ("city.nightlife", 76),
        ("city.restaurants", 30),
    ],
};

const SPORTS_FAN: Persona = Persona {
    weight: 19,
    spectator: 4,
    tastes: &[
        ("interest.sports", 72),
        ("interest.cinema", 24),
        ("interest.pop-music", 18),
        ("interest.theatre", 4),
        ("interest.ticketing", 22),
        ("intent.ticket.match", 34),
        ("city.parks", 36),
        ("city.nightlife", 24),
    ],
};

const TOURIST: Persona = Persona {
    weight: 8,
    spectator: 6,
    tastes: &[
        ("interest.theatre", 14),
        ("interest.classical-music", 12),
        ("interest.ticketing", 30),
        ("intent.ticket.tonight", 26),
        ("intent.hotel", 40),
        ("city.museums", 68),
        ("city.restaurants", 52),
        ("city.Old Town Market", 44),
        ("city.visitor", 82),
    ],
};

const HOMEBODY: Persona = Persona {
    weight: 10,
    spectator: 5,
    tastes: &[("interest.literature", 30), ("interest.cinema", 22), ("interest.theatre", 6), ("city.parks", 22)],
};
