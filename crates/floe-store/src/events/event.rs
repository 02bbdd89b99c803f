//! What an event is before and after it is stored, and what can be asked.

use bytes::Bytes;

/// An event on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The record's offset.
    pub offset: i64,
    /// At most 1,024 bytes, as its type and user. One that is stored already is passed over.
    pub id: String,
    /// What happened.
    pub event_type: Option<String>,
    /// Who did it.
    pub user_id: Option<String>,
    /// JSON text.
    pub data: Bytes,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the order of storing; rises without gaps in the order in which rows became readable. The cursor.
    /// An erased event leaves its number unused.
    pub seq: i64,
    /// Unique.
    pub id: String,
    /// What happened.
    pub event_type: Option<String>,
    /// Who did it.
    pub user_id: Option<String>,
    /// JSON text, as it was sent.
    pub data: Bytes,
    /// When it happened, in milliseconds since the epoch.
    pub timestamp: i64,
    /// When it was stored, in milliseconds since the epoch.
    pub stored_at: i64,
    /// Where it came from.
    pub topic: String,
    /// Where it came from.
    pub partition: u32,
    /// Where it came from.
    pub offset: i64,
}

/// Some events, in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether there was nothing behind them; otherwise the next page may be empty, too.
    pub whole: bool,
}

/// Which events are meant; all bounds have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this type.
    pub event_type: Option<String>,
    /// Of this user.
    pub user_id: Option<String>,
    /// That happened at this time or later, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// That happened before this time.
    pub until: Option<i64>,
}

impl EventFilter {
    pub(crate) fn passes(&self, event: &StoredEvent) -> bool {
        let is = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        is(&self.event_type, &event.event_type)
            && is(&self.user_id, &event.user_id)
            && self.since.is_none_or(|since| event.timestamp >= since)
            && self.until.is_none_or(|until| event.timestamp < until)
    }
}

/// Whether the oldest or the newest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOrder {
    /// In the order of storing, behind the cursor.
    OldestFirst,
    /// The newest before the cursor first.
    NewestFirst,
}

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// Their type.
    EventType,
    /// Their user.
    UserId,
}

/// How many there are of one type or user, in one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCount {
    /// The type or user; `None` counts the events without one.
    pub name: Option<String>,
    /// Where the span begins, in milliseconds since the epoch; `None` if no spans were asked for.
    pub from: Option<i64>,
    /// How many.
    pub count: u64,
}
