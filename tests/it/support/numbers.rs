//! A seeded sequence of numbers, for whatever is made up: the sample, the scenarios, tests and examples.

/// A seeded sequence of numbers (splitmix64).
#[derive(Clone)]
pub struct Numbers(pub u64);

impl Numbers {
    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// Returns an index below `limit`; 0 where there is none.
    pub fn index(&mut self, limit: usize) -> usize {
        self.below(limit.max(1) as u64) as usize
    }
}
