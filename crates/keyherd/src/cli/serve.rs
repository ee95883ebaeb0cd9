//! stub
use clap::Args;
use super::failure::Failure;
use super::peer::Context;
/// The admin token's file, in the data folder.
pub(super) const ADMIN_TOKEN_FILE: &str = "admin.token";
/// Serve
#[derive(Debug, Args)]
pub(super) struct Serve {}
impl Serve { pub(super) async fn run(self, _context: Context) -> Result<(), Failure> { Ok(()) } }
