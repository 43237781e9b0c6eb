//! Empty reflex tables on the heap.

use std::boxed::Box;

use reflex::{Facts, Orders};

/// Orders to do nothing.
pub(super) fn orders() -> Box<Orders> {
    Box::new(Orders::new())
}

/// Nothing found yet.
pub(super) fn facts() -> Box<Facts> {
    Box::new(Facts::new())
}
