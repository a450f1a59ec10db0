//! Reproducible draws: every value of a generated account is a hash of the seed, a domain and an
//! index, so object number 712,034 is made without making any other and is the same on every run.
//!
//! Nothing here can fail. Deliberately absent: cryptographic strength, and any state shared
//! between draws.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a draw is for; two domains never share a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    Account = 1,
    Block,
    Jitter,
    Group,
    Charge,
    ChargeMetadata,
    Customer,
    Product,
    Price,
    Invoice,
    Session,
    Method,
    Fault,
    Churn,
    Request,
    Webhook,
    Connect,
    Billing,
}

/// The finaliser of `SplitMix64`: a bijection on 64 bits without visible structure.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The inverse of [`mix`].
pub(crate) const fn unmix(value: u64) -> u64 {
    let mut z = value;
    z = z ^ (z >> 31) ^ (z >> 62);
    z = z.wrapping_mul(0x3196_42b2_d24d_8ec3);
    z = z ^ (z >> 27) ^ (z >> 54);
    z = z.wrapping_mul(0x96de_1b17_3f11_9089);
    z ^ (z >> 30) ^ (z >> 60)
}

/// One hash of (seed, domain, index).
pub(crate) const fn hash(seed: u64, domain: Domain, index: u64) -> u64 {
    mix(mix(seed ^ (domain as u64).wrapping_mul(GOLDEN)).wrapping_add(index.wrapping_mul(GOLDEN)))
}

/// A short stream of draws belonging to one object.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64, domain: Domain, index: u64) -> Self {
        Self(hash(seed, domain, index))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub(crate) const fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True in `percent` of 100 cases.
    pub(crate) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub(crate) const fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmix_inverts_mix() {
        for value in (0..10_000).chain([u64::MAX, u64::MAX - 1, 1 << 63]) {
            assert_eq!(unmix(mix(value)), value);
        }
    }
}
