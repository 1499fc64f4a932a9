//! placeholder
use crate::{Consistency, Kind, tree::Profile};
pub(crate) const KIND: Kind = Kind {
    name: "sqlite",
    summary: "",
    component: "",
    initial: "",
    profile: Profile::Files1,
    consistency: Consistency::Dump,
    settings: &[],
    open: |_, _| unimplemented!(),
};
