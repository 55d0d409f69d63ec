//! What an ordinary user's layers have not got: counted over a load, said once.
//!
//! Stage `image`, host process, on all of its workers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::userns::{ADD_IDS, Users};

/// The counts of one load.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    devices: AtomicU64,
    owners: AtomicU64,
}

impl Notes {
    /// A device that cannot be made.
    pub(crate) fn device(&self) {
        self.devices.fetch_add(1, Ordering::Relaxed);
    }

    /// A file whose owner there is not.
    pub(crate) fn owner(&self) {
        self.owners.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells what there is to tell about a load that has succeeded.
    pub(crate) fn tell(&self, users: Option<&Users>) {
        let [devices, owners] =
            [&self.devices, &self.owners].map(|count| count.load(Ordering::Relaxed));
        if devices > 0 {
            log::warn!("image: {} left out: only root makes devices", count(devices, "device"));
        }
        if owners > 0 {
            let files = count(owners, "file");
            match users.is_some_and(Users::is_single) {
                true => log::warn!(
                    "image: the owners of {files} became root: this user has no subordinate \
                     ids; {ADD_IDS}, and load again"
                ),
                false => log::warn!(
                    "image: the owners of {files} became root: this user's subordinate ids \
                     do not reach so far"
                ),
            }
        }
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
