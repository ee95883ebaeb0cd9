//! Many credentials in one transaction: for imports and for measuring.

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{NewCredential, Record};

use super::SqlStore;
use super::create::Made;
use crate::store::fault::Fault;

impl SqlStore {
    /// Makes all of them in one transaction with one audit entry and one event. Those whose name is taken, or which
    /// conflict with what is there, are left out. Returns how many were made.
    ///
    /// # Errors
    /// As every change of the store; then none was made.
    pub async fn import_many(&self, many: &[NewCredential], record: Record) -> Result<u64, StoreError> {
        self.told(self.insist(|| self.make_many(many, record.clone())).await)
    }

    async fn make_many(&self, many: &[NewCredential], record: Record) -> Result<u64, Fault> {
        let mut write = self.administer().await?;
        let mut made = 0;
        for new in many {
            made += u64::from(matches!(self.make(&mut write, new).await?, Made::Founded | Made::Joined));
        }
        if made == 0 {
            write.cancel().await?;
        } else {
            write.commit(record).await?;
        }
        Ok(made)
    }
}
