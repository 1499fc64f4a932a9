//! placeholder
use crate::{Consistency, Kind, tree::Profile};
pub(crate) const KIND: Kind = Kind {
    name: "directory",
    summary: "",
    component: "",
    initial: "",
    profile: Profile::Posix1,
    consistency: Consistency::Dump,
    settings: &[],
    open: |_, _| unimplemented!(),
};
