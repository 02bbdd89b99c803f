//! One subscriber: a place, first in the log, then in the ring.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use floe_engine::{Cursor, EngineError, Gap, TailEnd, TopicPage, TopicRead, TopicStart};

use crate::{
    lag::{Lagged, Places},
    limits::LAG_PATIENCE,
    live::Live,
    record::LiveRecord,
    ring::Ring,
    settings::{Policy, Settings},
    signal::{Seat, Signal},
    window::Window,
};

/// How much to take at once: at least one record is given, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// At most this many records.
    pub records: usize,
    /// At most about this many bytes of keys, values and headers.
    pub bytes: usize,
}

/// How long, in all, a connection's socket has been full so far. The connection measures; a subscription compares
/// with what it was when it last kept up, and so knows whether the socket is the reason for being behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocked(pub Duration);

/// What [`Subscription::take`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Records were added; there may be more.
    Records,
    /// Nothing now: wait for the signal.
    Nothing,
    /// The next records are in the log: call [`Subscription::read_log`], then take again.
    ReadLog,
    /// The subscriber was moved forward: tell it, then take again.
    Lagged(Lagged),
    /// Damaged offsets were passed over: tell it, then take again.
    Gap(Gap),
    /// There is no more.
    Ended(End),
}

/// Why there is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The topic was deleted.
    Deleted,
    /// The engine is stopping.
    Stopped,
    /// The subscriber was too slow, and the topic's policy is to disconnect it.
    TooSlow(Lagged),
}

impl From<TailEnd> for End {
    fn from(end: TailEnd) -> Self {
        match end {
            TailEnd::Deleted => Self::Deleted,
            TailEnd::Stopped => Self::Stopped,
        }
    }
}

/// Where a subscriber reads on.
#[derive(Debug)]
pub(crate) enum Place {
    /// In the log: what the ring holds isn't reached yet, or was left behind.
    Log(TopicStart),
    /// In the ring, at [`Subscription::next`].
    Ring,
    /// Nowhere any more.
    Over(End),
}

/// A lag that was told and is not over; what is skipped meanwhile is told together at its end.
#[derive(Debug, Default)]
struct Episode {
    untold: Option<Lagged>,
}

/// One subscriber's place in a topic. Dropping it leaves.
///
/// **Who is moved forward.** A subscriber is skipped ahead when it is more than `queue_size` behind *and* its socket was
/// full for [`LAG_PATIENCE`](crate::LAG_PATIENCE) or more, in all, since it last was not: then the client is what is
/// slow, and holding records for it would only delay what it gets next. A subscriber that is behind although its
/// socket takes all it is given was overrun by a burst, which is the server's business: it reads what it missed from
/// the log and loses nothing. (Without the patience every burst larger than the kernel's buffer would cost even the
/// fastest reader records.) Nor is one skipped that still catches up after `last_n` or a resume: it asked for the past,
/// and costs one page of memory while it reads it.
///
/// **What is told.** The first skip of an episode is told where it happens; the episode lasts until the subscriber
/// has caught up, and what else was skipped meanwhile is told then, in one notice. A client that stays too slow is
/// not slowed further by notices, and nothing that was skipped stays unnamed.
#[derive(Debug)]
pub struct Subscription {
    live: Live,
    ring: Arc<Ring>,
    seat: Seat,
    signal: Arc<Signal>,
    settings: Settings,
    place: Place,
    /// Sequence number of the next record to take. Exact in the ring; in the log it goes on counting once
    /// `caught_up`, and says how far behind the head a subscriber is that was overrun.
    next: u64,
    /// Cursor of the last record taken, or of the start.
    after: Cursor,
    /// What it had from the log when it entered the ring: records of the ring that are behind this were taken already.
    had: Option<Cursor>,
    /// It has been at the ring's head: being behind from then on is lag, not history.
    caught_up: bool,
    /// A page of the log, read and not yet taken.
    page: VecDeque<Arc<LiveRecord>>,
    gaps: VecDeque<Gap>,
    /// How long the socket had been full in all when it was last within `queue_size` of the head.
    kept_up: Option<Blocked>,
    episode: Option<Episode>,
    places: Places,
    beyond_end: bool,
}

impl Subscription {
    pub(crate) fn new(
        live: Live,
        ring: Arc<Ring>,
        seat: Seat,
        signal: Arc<Signal>,
        settings: Settings,
        end: Cursor,
    ) -> Self {
        Self {
            live,
            ring,
            seat,
            signal,
            settings,
            place: Place::Log(TopicStart::After(end.clone())),
            next: 0,
            after: end,
            had: None,
            caught_up: false,
            page: VecDeque::new(),
            gaps: VecDeque::new(),
            kept_up: None,
            episode: None,
            places: Places::default(),
            beyond_end: false,
        }
    }

    pub(crate) fn start_at(&mut self, place: Place) {
        self.place = place;
    }

    pub(crate) fn note_beyond_end(&mut self, beyond_end: bool) {
        self.beyond_end = beyond_end;
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.ring.topic()
    }

    /// The topic's id: a topic deleted and made again has another one.
    #[must_use]
    pub fn topic_id(&self) -> u64 {
        self.ring.topic_id()
    }

    /// The topic's settings as they were at the start.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The place right behind which it starts, while nothing was taken and as far as that is known before the log is
    /// read: not for a start at the earliest record or at a time.
    #[must_use]
    pub fn starts_after(&self) -> Option<&Cursor> {
        match &self.place {
            Place::Log(TopicStart::After(cursor)) => Some(cursor),
            Place::Log(_) | Place::Ring | Place::Over(_) => None,
        }
    }

    /// The cursor it was started with lies past the topic's end; it waits at the end.
    #[must_use]
    pub fn started_beyond_end(&self) -> bool {
        self.beyond_end
    }

    /// Takes what is there, without waiting. `blocked` is how long the connection's socket has been full so far.
    pub fn take(&mut self, blocked: Blocked, room: Room, out: &mut Vec<Arc<LiveRecord>>) -> Taken {
        if let Some(gap) = self.gaps.pop_front() {
            return Taken::Gap(gap);
        }
        if self.is_too_slow(blocked)
            && let Some(taken) = self.move_forward(blocked)
        {
            return taken;
        }
        if !self.page.is_empty() {
            self.take_page(room, out);
            return Taken::Records;
        }
        match &self.place {
            Place::Over(end) => Taken::Ended(end.clone()),
            Place::Ring => self.take_ring(room, out),
            Place::Log(start) => match (self.enter_ring(start.clone()), self.ring.ended()) {
                (true, _) => self.take_ring(room, out),
                (false, Some(end)) => self.finish(end.into()),
                (false, None) => Taken::ReadLog,
            },
        }
    }

    /// Says that the socket is full: the ring does not wait for this subscriber until it takes again.
    pub fn release(&self) {
        self.seat.pace.release();
    }

    /// Reads the next page of the log; to be called when [`Taken::ReadLog`] says so. Cancel-safe: the place moves when
    /// the page is there. An error leaves the place as it was, except that a topic found to be gone ends the
    /// subscription.
    pub async fn read_log(&mut self, room: Room) -> Result<(), EngineError> {
        let Place::Log(start) = &self.place else { return Ok(()) };
        let (start, floor) = (start.clone(), self.ring.window().floor().clone());
        let page = match self.page_from(start, &floor, room).await {
            Ok(page) if page.next.topic_id() == self.ring.topic_id() => page,
            // The topic is gone, or another one by now.
            Ok(_) | Err(EngineError::TopicNotFound { .. } | EngineError::ForeignCursor { .. }) => {
                self.place = Place::Over(End::Deleted);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.page.extend(page.records.into_iter().map(LiveRecord::new));
        self.gaps.extend(page.gaps);
        self.place = Place::Log(TopicStart::After(page.next));
        Ok(())
    }

    /// Reads a page of which `next` is at least `floor` if nothing is left to read before that: records that retention
    /// took away would be asked for again and again.
    async fn page_from(
        &self,
        start: TopicStart,
        floor: &Cursor,
        room: Room,
    ) -> Result<TopicPage, EngineError> {
        let page = self.ask(start, room).await?;
        if !page.records.is_empty() || page.next.reaches(floor) {
            return Ok(page);
        }
        // Empty, though the ring has gone further. The engine hands records to its tails a moment before it lets them
        // be read, so this alone is no proof: only what lies before the readable end was surely looked at.
        tokio::task::yield_now().await;
        let end = self.ask(TopicStart::Latest, room).await?.next;
        let mut page = self.ask(TopicStart::After(page.next), room).await?;
        if page.records.is_empty() {
            page.next = page.next.or_later(&end.or_earlier(floor));
        }
        Ok(page)
    }

    async fn ask(&self, from: TopicStart, room: Room) -> Result<TopicPage, EngineError> {
        let read = TopicRead {
            topic: self.topic().to_owned(),
            from,
            max_records: room.records,
            max_bytes: room.bytes,
            wait: Duration::ZERO,
        };
        self.live.engine().read_topic(read).await
    }

    /// Waits for something to tell: [`Taken::Records`], [`Taken::Lagged`], [`Taken::Gap`] or [`Taken::Ended`]. For a
    /// connection with a single subscription; one with several waits on its [`Signal`] itself. Cancel-safe.
    pub async fn next(
        &mut self,
        blocked: Blocked,
        room: Room,
        out: &mut Vec<Arc<LiveRecord>>,
    ) -> Result<Taken, EngineError> {
        loop {
            match self.take(blocked, room, out) {
                Taken::Nothing => self.signal.raised().await,
                Taken::ReadLog => self.read_log(room).await?,
                taken @ (Taken::Records | Taken::Lagged(_) | Taken::Gap(_) | Taken::Ended(_)) => {
                    return Ok(taken);
                }
            }
        }
    }

    fn finish(&mut self, end: End) -> Taken {
        self.place = Place::Over(end.clone());
        self.seat.pace.release();
        Taken::Ended(end)
    }

    /// Whether its socket is why it is too far behind; and notes when it is not.
    fn is_too_slow(&mut self, blocked: Blocked) -> bool {
        let kept_up = *self.kept_up.get_or_insert(blocked);
        let behind = self.ring.head().saturating_sub(self.next);
        if !self.caught_up || behind <= self.settings.queue_records as u64 {
            self.kept_up = Some(blocked);
            return false;
        }
        blocked.0.saturating_sub(kept_up.0) >= LAG_PATIENCE
    }

    /// Skips to `queue_size` behind the head. Answers what has to be told now.
    fn move_forward(&mut self, blocked: Blocked) -> Option<Taken> {
        if matches!(self.place, Place::Over(_)) {
            return None;
        }
        let window = self.ring.window();
        let to = window.head().saturating_sub(self.settings.queue_records as u64).max(window.first());
        if to <= self.next {
            return None;
        }
        let skipped = window.skipped(self.next, to, &self.places);
        let lagged = Lagged { dropped: to - self.next, skipped, after: self.all_taken() };
        let after = window.cursor_before(to).clone();
        drop(window);
        self.live.count_skipped(lagged.dropped);
        if self.settings.policy == Policy::Disconnect {
            return Some(self.finish(End::TooSlow(lagged)));
        }
        (self.place, self.next, self.after) = (Place::Ring, to, after);
        self.page = VecDeque::new();
        self.kept_up = Some(blocked);
        self.places.skip(&lagged.skipped);
        self.tell(lagged).map(Taken::Lagged)
    }

    /// Answers a skip that begins an episode; a later one is kept until the episode is over.
    fn tell(&mut self, lagged: Lagged) -> Option<Lagged> {
        let Some(episode) = &mut self.episode else {
            self.episode = Some(Episode::default());
            return Some(lagged);
        };
        match &mut episode.untold {
            Some(untold) => untold.extend(&lagged),
            untold @ None => *untold = Some(lagged),
        }
        None
    }

    fn take_page(&mut self, room: Room, out: &mut Vec<Arc<LiveRecord>>) {
        let mut fill = Fill::new(room);
        while let Some(record) = self.page.front() {
            if !fill.takes(record) {
                return;
            }
            self.places.pass(record.record());
            self.after = record.cursor().clone();
            self.next += 1;
            out.extend(self.page.pop_front());
        }
        // Catching up is rare and being live is long: a live subscriber keeps no page buffer.
        self.page = VecDeque::new();
    }

    /// Crosses from the log into the ring, if the ring holds all that follows.
    fn enter_ring(&mut self, start: TopicStart) -> bool {
        let TopicStart::After(after) = start else { return false };
        let window = self.ring.window();
        let Some(next) = window.locate(&after) else { return false };
        if next == window.head() {
            self.places = window.places_at_head();
        }
        drop(window);
        self.had = Some(after.clone());
        (self.place, self.next, self.after) = (Place::Ring, next, after);
        true
    }

    fn take_ring(&mut self, room: Room, out: &mut Vec<Arc<LiveRecord>>) -> Taken {
        if self.next == self.ring.head() {
            return self.at_head();
        }
        let window = self.ring.window();
        if self.next < window.first() {
            drop(window);
            self.seat.pace.release();
            self.place = Place::Log(TopicStart::After(self.all_taken()));
            return Taken::ReadLog;
        }
        let before = out.len();
        self.next = take_from(&window, self.next, self.had.as_ref(), room, out);
        let after = window.cursor_before(self.next).clone();
        drop(window);
        if self.had.as_ref().is_none_or(|had| after.reaches(had)) {
            (self.had, self.after) = (None, after);
        } else if let Some(last) = out[before..].last() {
            self.after = last.cursor().clone();
        }
        self.seat.pace.reach(self.next);
        out[before..].iter().for_each(|record| self.places.pass(record.record()));
        if out.len() == before { self.at_head() } else { Taken::Records }
    }

    /// The place behind all that was taken. In the ring that is its own place, unless the log was read further in some
    /// partition before.
    fn all_taken(&self) -> Cursor {
        match &self.had {
            Some(had) => self.after.clone().or_later(had),
            None => self.after.clone(),
        }
    }

    /// Nothing to take: an episode of lagging is over, or the topic is.
    fn at_head(&mut self) -> Taken {
        self.caught_up = true;
        self.seat.pace.reach(self.next);
        if let Some(Episode { untold: Some(lagged) }) = self.episode.take() {
            return Taken::Lagged(lagged);
        }
        match self.ring.ended() {
            // The end is set after the last push: a head seen before may be an old one.
            Some(end) if self.next == self.ring.head() => self.finish(end.into()),
            Some(_) | None => Taken::Nothing,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.leave(&self.ring, &self.seat);
    }
}

/// Copies records out of the window; answers the sequence number to go on from. Records behind `had` are passed over: they
/// were taken from the log before the feeding task brought them here.
fn take_from(
    window: &Window,
    mut next: u64,
    had: Option<&Cursor>,
    room: Room,
    out: &mut Vec<Arc<LiveRecord>>,
) -> u64 {
    let mut fill = Fill::new(room);
    for record in window.from(next) {
        if !had.is_some_and(|had| had.covers(record.record())) {
            if !fill.takes(record) {
                break;
            }
            out.push(Arc::clone(record));
        }
        next += 1;
    }
    next
}

/// Counts records against the room there is.
struct Fill {
    room: Room,
    is_empty: bool,
}

impl Fill {
    fn new(room: Room) -> Self {
        Self { room, is_empty: true }
    }

    /// Whether one more record fits, and counts it if so. The first always fits.
    fn takes(&mut self, record: &LiveRecord) -> bool {
        let bytes = record.payload_bytes();
        if !self.is_empty && (self.room.records == 0 || self.room.bytes < bytes) {
            return false;
        }
        self.is_empty = false;
        self.room.records = self.room.records.saturating_sub(1);
        self.room.bytes = self.room.bytes.saturating_sub(bytes);
        true
    }
}
