//! What the suite `voices` needs beside the harness.

pub(crate) mod liar;
