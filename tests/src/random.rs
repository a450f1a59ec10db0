//! Numbers that look random and are the same for the same seed, so that a failed run can be repeated.

/// A row of numbers (xorshift).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The row of the seed that an environment variable holds, or of `otherwise`. The seed is printed, which
    /// the runner shows when the test fails.
    pub fn of_variable(name: &str, otherwise: u64) -> Self {
        let seed = number_from(name, otherwise);
        println!("{name}={seed}");
        Self::of(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number, from 0 to `end - 1`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() >> 16) as usize % end
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// How much of something a test does: what an environment variable of this name says, or else `everyday`, or `long`
/// where `TEST_LONG` is set, as `make test-long` does.
pub fn size(name: &str, everyday: u64, long: u64) -> u64 {
    let is_long = std::env::var_os("TEST_LONG").is_some();
    number_from(name, if is_long { long } else { everyday })
}

/// The number that an environment variable holds, or `otherwise`.
pub fn number_from(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else {
        return otherwise;
    };
    text.parse()
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}
