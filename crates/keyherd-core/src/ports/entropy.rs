//! Randomness, as a port: a simulation replays it from a seed.

/// A source of random bytes, fit for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);

    /// A random positive number, for ids: 63 bits.
    fn id(&self) -> i64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        i64::from_be_bytes(bytes) & i64::MAX
    }

    /// A random number in 0..=1, for jitter.
    fn share(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    }
}
