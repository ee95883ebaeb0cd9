//! Signing synthetic tokens, as a port: the key is the installation's, and stays in the adapter.

/// Signs the JWTs that phantoms are where clients take their token apart.
pub trait TokenSigner: Send + Sync + 'static {
    /// The algorithm's name in a JWT's header (RFC 7518, section 3.1).
    fn algorithm(&self) -> &'static str;

    /// The key's name in a JWT's header: plain text without quotes.
    fn key_id(&self) -> &str;

    /// The signature over a message.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}
