//! Whose turn it is where the pointer stays with one member.

use super::Pool;
use crate::time::Timestamp;

/// How a member stands for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be used.
    Ready,
    /// Its rest has ended, and another caller is just trying whether it really has.
    Probing,
    /// It rests for this request only, a part of it: the pointer stays.
    Aside(Timestamp),
    /// It rests until then.
    Resting(Timestamp),
    /// It cannot be used until a person acts.
    Out,
}

/// The decision, in places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// This one, and the pointer stays where it is.
    Use(usize),
    /// The active member rests: this one, from now on, for everyone.
    Turn(usize),
    /// All rest. This one recovers first, or a person has chosen it; the pointer stays.
    Soonest {
        /// Which.
        place: usize,
        /// When it recovers.
        until: Timestamp,
    },
    /// No member can be used at all.
    Nobody,
}

/// Decides. Looks no further than the active member while that one is ready.
pub fn pick(pool: &Pool, mut standing: impl FnMut(usize) -> Standing) -> Pick {
    let active = standing(pool.active);
    if active == Standing::Ready {
        return Pick::Use(pool.active);
    }
    let others: Vec<(usize, Standing)> =
        pool.in_turn().skip(1).map(|place| (place, standing(place))).collect();
    let stays = matches!(active, Standing::Probing | Standing::Aside(_));
    let chosen = |place| if stays { Pick::Use(place) } else { Pick::Turn(place) };
    let first = |wanted| others.iter().find(|(_, standing)| *standing == wanted).map(|(place, _)| *place);
    if let Some(place) = first(Standing::Ready) {
        return chosen(place);
    }
    // Nobody else is sure: whoever comes now waits for the try that is under way.
    if active == Standing::Probing {
        return Pick::Use(pool.active);
    }
    first(Standing::Probing).map_or_else(|| soonest(pool, active, &others), chosen)
}

fn soonest(pool: &Pool, active: Standing, others: &[(usize, Standing)]) -> Pick {
    if let (true, Some(until)) = (pool.is_rotated, active.until()) {
        return Pick::Soonest { place: pool.active, until };
    }
    let all = std::iter::once((pool.active, active)).chain(others.iter().copied());
    let resting = all.filter_map(|(place, standing)| Some((place, standing.until()?)));
    // Of several that recover at once the first in order.
    resting
        .min_by_key(|(_, until)| *until)
        .map_or(Pick::Nobody, |(place, until)| Pick::Soonest { place, until })
}

impl Standing {
    fn until(self) -> Option<Timestamp> {
        match self {
            Self::Resting(until) | Self::Aside(until) => Some(until),
            Self::Ready | Self::Probing | Self::Out => None,
        }
    }
}
