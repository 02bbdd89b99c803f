//! What can be configured.

use serde::Deserialize;

/// The event store of this node: nothing is to be set here, the database is chosen for the whole of Floe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSpec {}
