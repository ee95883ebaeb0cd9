//! Networks by the addresses they hold: one look for each length that occurs.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;

use super::pattern::Net;

/// Values by network.
#[derive(Debug)]
pub(super) struct Nets<T> {
    by_net: HashMap<Net, T, FixedState>,
    /// The lengths that occur, of version 4 and of version 6.
    lens: [Vec<u8>; 2],
}

impl<T> Default for Nets<T> {
    fn default() -> Self {
        Self { by_net: HashMap::default(), lens: [Vec::new(), Vec::new()] }
    }
}

impl<T: Default> Nets<T> {
    /// The value of that network; made where it is missing.
    pub(super) fn entry(&mut self, net: Net) -> &mut T {
        let [v4, v6] = &mut self.lens;
        let lens = if net.is_v4() { v4 } else { v6 };
        if !lens.contains(&net.len()) {
            lens.push(net.len());
        }
        self.by_net.entry(net).or_default()
    }
}

impl<T> Nets<T> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_net.is_empty()
    }

    /// Shows the value of every network that holds the address.
    pub(super) fn each(&self, address: IpAddr, visit: &mut impl FnMut(&T)) {
        let [v4, v6] = &self.lens;
        let lens = if address.is_ipv4() { v4 } else { v6 };
        for net in lens.iter().map(|len| Net::of(address, *len)) {
            if let Some(value) = self.by_net.get(&net) {
                visit(value);
            }
        }
    }
}
