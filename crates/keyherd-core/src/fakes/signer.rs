//! A signer of tokens whose signature is a word.

use crate::ports::TokenSigner;

/// Signs with a word: for who does not care what a signature is.
#[derive(Debug, Clone, Copy, Default)]
pub struct WordSigner;

impl TokenSigner for WordSigner {
    fn algorithm(&self) -> &'static str {
        "HS256"
    }

    fn key_id(&self) -> &'static str {
        "test"
    }

    fn sign(&self, _message: &[u8]) -> Vec<u8> {
        b"signed with a word, of 32 bytes.".to_vec()
    }
}
