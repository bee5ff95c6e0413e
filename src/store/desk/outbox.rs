//! Rows of the outbox.

use serde::Serialize;

use crate::outbox::{ASKED_BY_NUMBER, LEASE, Next, PERHAPS_SENT, TRIED_AGAIN, plain_reply};
use crate::store::desk::Desk;
use crate::store::door::{Fault, Row, params};
use crate::store::error::StoreError;
use crate::store::sqlite::dialect::by_index;
use crate::time::Timestamp;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Waits for its time.
    Queued,
    /// In the hands of a process.
    Sending,
    /// Taken by the server.
    Sent,
    /// Given up or refused; kept.
    Dead,
    /// Taken out by somebody; kept.
    Dropped,
}

/// What became of a message after the server took it, as far as it came back. A later one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// A server on its way still tries.
    Delayed,
    /// A server on its way gave up: it did not arrive. Its recipient may be reached another time.
    Undelivered,
    /// Its recipient cannot be reached (a status of class 5).
    Bounced,
}

impl Fate {
    /// Every fate, from the best to the worst.
    pub const ALL: [Self; 3] = [Self::Delayed, Self::Undelivered, Self::Bounced];

    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Undelivered => "undelivered",
            Self::Bounced => "bounced",
        }
    }

    /// Returns the fate that [`Fate::word`] gave `word` for.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.word() == word)
    }
}

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailKind {
    /// The first report of a case.
    Report,
    /// Something material changed.
    Update,
    /// The end of a case.
    Closure,
    /// What happened in a day.
    Digest,
    /// The same move of many names.
    Bulk,
    /// A zone that cannot be seen.
    Blindness,
    /// The onward report to somebody else.
    Notice,
    /// JSON to a URL.
    Webhook,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Report,
        Self::Update,
        Self::Closure,
        Self::Digest,
        Self::Bulk,
        Self::Blindness,
        Self::Notice,
        Self::Webhook,
    ];

    /// Returns the word in listings: of mails, the folder of the templates.
    pub fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Update => "update",
            Self::Closure => "closure",
            Self::Digest => "digest",
            Self::Bulk => "bulk",
            Self::Blindness => "blindness",
            Self::Notice => "notice",
            Self::Webhook => "webhook",
        }
    }

    /// Returns the kind that [`MailKind::word`] gave `word` for.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl MessageState {
    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }

    /// Returns the state that [`MessageState::word`] gave `word` for.
    fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::Queued,
            Self::Sending,
            Self::Sent,
            Self::Dead,
            Self::Dropped,
        ];
        all.into_iter().find(|state| state.word() == word)
    }
}

/// A way out of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By mail.
    Mail,
    /// To a URL.
    Webhook,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Webhook];

    /// Returns the bounds of its lanes' names: not below the first, below the second. See the migration.
    fn lanes(self) -> (&'static str, &'static str) {
        match self {
            Self::Mail => ("mail ", "mail!"),
            Self::Webhook => ("webhook ", "webhook!"),
        }
    }
}

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMessage {
    /// Its number.
    pub id: i64,
    /// Its destination: one for each URL, and one for each domain of mail addresses.
    pub lane: String,
}

/// How many messages may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendingCaps {
    /// Since when they are counted.
    pub since: Timestamp,
    /// To one recipient.
    pub per_recipient_max: u32,
    /// In all.
    pub in_all_max: u32,
}

/// A message to be queued: its octets and its Message-ID are fixed from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The case; `None` for what is about no single one.
    pub case_id: Option<i64>,
    /// What it is about.
    pub kind: MailKind,
    /// Its number among the case's mails.
    pub revision: u32,
    /// The one recipient.
    pub recipient: String,
    /// The envelope's sender.
    pub sender: String,
    /// With its angle brackets.
    pub message_id: String,
    /// For listings.
    pub subject: String,
    /// The mail, headers and all.
    pub octets: Vec<u8>,
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Its number.
    pub id: i64,
    /// What was queued.
    pub message: NewMessage,
    /// Where it stands.
    pub state: MessageState,
    /// How often it was tried.
    pub attempt_count: u32,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When it is tried next.
    pub next_attempt_at: Timestamp,
    /// When it was taken.
    pub sent_at: Option<Timestamp>,
    /// What the server, or the way to it, last said.
    pub last_reply: Option<String>,
    /// When it came back.
    pub bounced_at: Option<Timestamp>,
    /// What became of it after the server took it; `None` if nothing came back.
    pub fate: Option<Fate>,
}

impl MessageRow {
    /// Returns whether its recipient may have it: a server took it, or was handed it and did not say.
    pub fn may_have_arrived(&self) -> bool {
        let note = self.last_reply.as_deref().unwrap_or_default();
        self.sent_at.is_some() || self.fate.is_some() || note.starts_with(PERHAPS_SENT)
    }

    /// Returns it without its octets.
    pub fn head(&self) -> Self {
        let NewMessage {
            case_id,
            kind,
            revision,
            ..
        } = self.message;
        Self {
            message: NewMessage {
                case_id,
                kind,
                revision,
                recipient: self.message.recipient.clone(),
                sender: self.message.sender.clone(),
                message_id: self.message.message_id.clone(),
                subject: self.message.subject.clone(),
                octets: Vec::new(),
            },
            last_reply: self.last_reply.clone(),
            ..*self
        }
    }

    /// Returns the word of where it stands: of one that the server took and that came back, its fate.
    pub fn standing(&self) -> &'static str {
        match (self.state, self.fate) {
            (MessageState::Sent, Some(fate)) => fate.word(),
            (state, _) => state.word(),
        }
    }

    /// Returns the recipient as it may be shown: of a URL, which may hold secrets, only scheme and host.
    pub fn shown_recipient(&self) -> String {
        let recipient = &self.message.recipient;
        if self.message.kind != MailKind::Webhook {
            return recipient.clone();
        }
        shown_url(recipient)
    }
}

/// Returns the URL of a webhook as it may be shown: scheme and host. User, password, path and query may be secrets.
pub fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "webhook".to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/")
}

/// The columns of a message that [`read_head`] reads: all but its octets.
const HEAD: &str = "id, case_id, revision, recipient, sender, message_id, subject, state, attempt_count, queued_at, next_attempt_at, sent_at, last_reply, kind, bounced_at, fate";

/// Returns the SQL of what is noted of a message: of one that a server may have, behind the words that say so.
fn noted(note: &str) -> String {
    let perhaps = format!("'{PERHAPS_SENT}'");
    let is_perhaps = |it: &str| format!("coalesce({it}, '') like '{PERHAPS_SENT}%'");
    format!(
        "case when {} and not {} then {perhaps} || coalesce({note}, '') else {note} end",
        is_perhaps("last_reply"),
        is_perhaps(note)
    )
}

/// Returns the SQL of what is noted of a message that a server may have since now.
fn noted_perhaps(note: &str) -> String {
    format!(
        "case when coalesce(last_reply, '') like '{PERHAPS_SENT}%' then last_reply
              else '{PERHAPS_SENT}' || {note} end"
    )
}

/// Goes from the oldest message of a recipient to that of the next one, in the order of `message_by_lane`, and looks
/// at none between them.
const OLDEST_DUE: &str = "with recursive oldest (id, lane, recipient, due_at) as
                                           (select *
                                              from (select id, lane, recipient, next_attempt_at
                                                      from message
                                                     where state in ('queued', 'sending')
                                                           and lane >= ?1 and lane < ?2
                                                     order by lane, recipient, next_attempt_at,
                                                              id limit 1) found
                                            union all
                                            select n.id, n.lane, n.recipient, n.next_attempt_at
                                              from oldest o
                                                   join message n on n.id =
                                                          coalesce((select m.id
                                                                      from message m
                                                                     where m.state in ('queued',
                                                                                       'sending')
                                                                           and m.lane = o.lane
                                                                           and m.recipient > o.recipient
                                                                     order by m.recipient,
                                                                              m.next_attempt_at,
                                                                              m.id limit 1),
                                                                   (select m.id
                                                                      from message m
                                                                     where m.state in ('queued',
                                                                                       'sending')
                                                                           and m.lane > o.lane
                                                                           and m.lane < ?2
                                                                     order by m.lane, m.recipient,
                                                                              m.next_attempt_at,
                                                                              m.id limit 1)))
                          select id, lane
                            from oldest
                           where due_at <= ?3
                           order by due_at, id";

impl Desk<'_> {
    /// Queues a message. The same case, revision and recipient are queued once only.
    pub fn queue_message(&self, message: &NewMessage, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql =
                    "insert into message (case_id, revision, kind, recipient, sender, message_id,
                                          subject, octets, state, queued_at, next_attempt_at)
                     values (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)
                     on conflict do nothing";
                db.execute(
                    sql,
                    params![
                        message.case_id,
                        message.revision,
                        message.kind.word(),
                        message.recipient,
                        message.sender,
                        message.message_id,
                        message.subject,
                        message.octets,
                        now,
                        now
                    ],
                )
            })
            .map(|_| ())
    }

    /// Keeps a message that cannot be composed among the dead, without octets, so that it is told and not lost.
    pub fn keep_dead_message(
        &self,
        message: &NewMessage,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql =
                    "insert into message (case_id, revision, kind, recipient, sender, message_id,
                                          subject, octets, state, queued_at, next_attempt_at,
                                          last_reply)
                     values (?, ?, ?, ?, ?, ?, ?, ?, 'dead', ?, ?, ?)
                     on conflict do nothing";
                db.execute(
                    sql,
                    params![
                        message.case_id,
                        message.revision,
                        message.kind.word(),
                        message.recipient,
                        message.sender,
                        message.message_id,
                        message.subject,
                        b"".as_slice(),
                        now,
                        now,
                        reason
                    ],
                )
            })
            .map(|_| ())
    }

    /// Returns the oldest due message of each recipient, oldest first.
    ///
    /// What waits behind it is not looked at: the cost is that of the recipients for whom something waits, not that
    /// of their messages.
    pub fn oldest_due(&self, way: Way, now: Timestamp) -> Result<Vec<DueMessage>, StoreError> {
        let (first, end) = way.lanes();
        self.store.run(|db| {
            db.query(OLDEST_DUE, params![first, end, now], |row| {
                Ok(DueMessage {
                    id: row.get("id")?,
                    lane: row.get("lane")?,
                })
            })
        })
    }

    /// Takes a due message for delivery; nobody else takes it for the length of the lease. Returns `None` if
    /// somebody has it, or if one of the caps is reached, in which what is in hand counts as sent.
    pub fn lease_message(
        &self,
        id: i64,
        caps: &SendingCaps,
        now: Timestamp,
    ) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            // Taking and checking in one statement: two processes could both find room and both send.
            "update message
                set state = 'sending', attempt_count = attempt_count + 1, next_attempt_at = ?2,
                    last_reply = case when state = 'sending' then {broken_off} else last_reply end
              where id = ?1 and state in ('queued', 'sending') and next_attempt_at <= ?3
                    and (select count(*)
                           from message s {by_recipient}
                          where s.recipient = message.recipient and s.sent_at > ?4
                                and s.sent_at <= ?3)
                      + (select count(*)
                           from message s {in_hand}
                          where s.state = 'sending' and s.recipient = message.recipient
                                and s.next_attempt_at > ?3) < ?5
                    and (select count(*)
                           from message s {by_sent}
                          where s.sent_at > ?4 and s.sent_at <= ?3)
                      + (select count(*)
                           from message s {in_hand}
                          where s.state = 'sending' and s.next_attempt_at > ?3) < ?6
             returning {HEAD}, octets",
            // One that is in hand and due again was left by a process that was killed, or stopped.
            broken_off = noted_perhaps("'the attempt was broken off'"),
            by_sent = by_index("message_by_sent"),
            in_hand = by_index("message_in_hand"),
            by_recipient = by_index("message_by_recipient")
        );
        let bound = params![
            id,
            // From now on the time of the next attempt is the end of the lease: a process that is killed holds it
            // no longer.
            (now + LEASE).unix(),
            now,
            caps.since,
            caps.per_recipient_max,
            caps.in_all_max
        ];
        self.store
            .run(|db| db.write_returning(&sql, bound, read_message))?
            .map(|row| row.ok_or_else(|| self.store.damaged("message state")))
            .transpose()
    }

    /// Returns how many messages are due and in nobody's hands: of one lane, or of a whole way.
    pub fn due_count(
        &self,
        way: Way,
        lane: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (first, end) = lane.map_or(way.lanes(), |lane| (lane, lane));
        self.store
            .run(|db| {
                let sql = "select count(*)
                             from message
                            where state in ('queued', 'sending') and lane between ?1 and ?2
                                  and next_attempt_at <= ?3";
                db.value::<i64>(sql, params![first, end, now])
            })
            .map(|count| count as u64)
    }

    /// Returns how many messages are in hand: of any process, and also of one that was killed, until the lease is
    /// over.
    pub fn in_hand_count(&self, now: Timestamp) -> Result<u32, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select count(*)
                   from message {in_hand}
                  where state = 'sending' and next_attempt_at > ?",
                in_hand = by_index("message_in_hand")
            );
            db.value(&sql, [now.unix()])
        })
    }

    /// Returns how many messages were sent since a time.
    pub fn sent_since(&self, since: Timestamp, now: Timestamp) -> Result<u32, StoreError> {
        self.store.run(|db| {
            db.value(
                "select count(*) from message where sent_at > ? and sent_at <= ?",
                [since.unix(), now.unix()],
            )
        })
    }

    /// Returns how many mails about cases were queued since a time, each case's once. What has a time of the future
    /// does not count: it was queued while the clock was ahead.
    pub fn cases_told_since(&self, since: Timestamp, now: Timestamp) -> Result<u32, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "select count(distinct case_id)
                   from message {by_time}
                  where queued_at > ? and queued_at <= ? and kind in ('report', 'update')",
                by_time = by_index("message_by_time")
            );
            db.value(&sql, [since.unix(), now.unix()])
        })
    }

    /// Returns the Message-IDs of a case's mails to a recipient that may stand in References: the first
    /// and the last, if there are any, of those `before` a message. A mail that could not be composed has none, and one that was dropped is known to
    /// nobody.
    pub fn thread_ids(
        &self,
        case_id: i64,
        recipient: &str,
        before: Option<i64>,
    ) -> Result<Option<(String, String)>, StoreError> {
        let ids: Vec<String> = self.store.run(|db| {
            let sql = "select message_id
                         from message
                        where case_id = ? and recipient = ?
                              and kind in ('report', 'update', 'closure') and message_id like '<%'
                              and (state <> 'dropped' or sent_at is not null
                                   or last_reply like 'perhaps sent; %')
                              and id < ?
                        order by id";
            db.values(sql, params![case_id, recipient, before.unwrap_or(i64::MAX)])
        })?;
        Ok(ids.first().cloned().zip(ids.last().cloned()))
    }

    /// Takes messages that wait, were given up or came back out of the outbox. Returns how many.
    pub fn drop_message(&self, id: i64, note: &str) -> Result<usize, StoreError> {
        self.store.run(|db| {
            let sql = format!(
                "update message
                    set state = 'dropped', last_reply = {noted}
                  where id = ?1
                        and (state in ('queued', 'dead') or (state = 'sent' and fate is not null))",
                noted = noted("?2")
            );
            db.execute(&sql, params![id, note])
        })
    }

    /// Notes what became of a message that came back; where it bounced, also that its recipient cannot be
    /// reached. Returns whether there is a message with that Message-ID and this is worse than what was known.
    pub fn record_fate(
        &self,
        message_id: &str,
        fate: Fate,
        reply: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // One that is delayed has not come back.
        let came_back = (fate > Fate::Delayed).then(|| now.unix());
        let rank = Fate::ALL.iter().filter(|it| **it <= fate).count();
        self.store.run(|db| {
            let sql = "update message
                          set fate = ?2, bounced_at = coalesce(bounced_at, ?3), last_reply = ?4
                        where message_id = ?1
                              and case fate when 'delayed' then 1
                                            when 'undelivered' then 2
                                            when 'bounced' then 3
                                            else 0 end < ?5
                       returning recipient";
            let bound = params![message_id, fate.word(), came_back, reply, rank as i64];
            let recipient: Option<String> = db.write_returning(sql, bound, |row| row.get("recipient"))?;
            if let (Some(recipient), Fate::Bounced) = (&recipient, fate) {
                let sql = "insert into bounced_recipient (recipient, bounced_at, reply)
                           values (?1, ?2, ?3)
                           on conflict (recipient)
                             do update set bounced_at = excluded.bounced_at, reply = excluded.reply";
                db.execute(sql, params![recipient, now, reply])?;
            }
            Ok(recipient.is_some())
        })
    }

    /// Returns the addresses whose mail came back since a time: when, and what was said.
    pub fn bounced_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(String, Timestamp, String)>, StoreError> {
        self.store.run(|db| {
            let sql = "select recipient, bounced_at, reply
                         from bounced_recipient where bounced_at >= ? order by recipient";
            db.query(sql, [since.unix()], |row| {
                Ok((
                    row.get("recipient")?,
                    row.get("bounced_at")?,
                    row.get("reply")?,
                ))
            })
        })
    }

    /// Returns the messages that were given up, oldest first.
    pub fn dead_messages(&self) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages("state = 'dead' and ?1 = 0", 0)
    }

    /// Returns the messages that came back undelivered since a time, though their recipients may be reached
    /// another time.
    pub fn undelivered_since(&self, since: Timestamp) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages("fate = 'undelivered' and bounced_at >= ?1", since.unix())
    }

    /// Returns how many messages came back that nobody has taken out of the outbox, by what became of them.
    pub fn fate_counts(&self) -> Result<Vec<(Fate, u32)>, StoreError> {
        let counts: Vec<(String, u32)> = self.store.run(|db| {
            let sql = "select fate, count(*) as message_count
                         from message where fate is not null and state = 'sent'
                        group by fate";
            db.query(sql, (), |row| {
                Ok((row.get("fate")?, row.get("message_count")?))
            })
        })?;
        let of = |fate: Fate| counts.iter().find(|(word, _)| word == fate.word());
        Ok(Fate::ALL
            .into_iter()
            .map(|fate| (fate, of(fate).map_or(0, |(_, count)| *count)))
            .collect())
    }

    /// Returns how many messages are not sent, by state: queued, sending, dead.
    ///
    /// The state stands behind the octets of a mail. So rows of sent ones, which an index names, are not read.
    pub fn unsent_counts(&self) -> Result<[(MessageState, u32); 3], StoreError> {
        let counts: Vec<(String, u32)> = self.store.run(|db| {
            let sql = "select state, count(*) as message_count
                         from message
                        where id in (select id
                                       from message except
                                     select id
                                       from message
                                      where sent_at is not null)
                        group by state";
            db.query(sql, (), |row| {
                Ok((row.get("state")?, row.get("message_count")?))
            })
        })?;
        let of = |state: MessageState| counts.iter().find(|(word, _)| word == state.word());
        let states = [
            MessageState::Queued,
            MessageState::Sending,
            MessageState::Dead,
        ];
        Ok(states.map(|state| (state, of(state).map_or(0, |(_, count)| *count))))
    }

    /// Returns how many messages a server took.
    pub fn sent_count(&self) -> Result<u32, StoreError> {
        self.store
            .run(|db| db.value("select count(*) from message where sent_at is not null", ()))
    }

    /// Returns how many messages were given up or refused.
    pub fn dead_count(&self) -> Result<u32, StoreError> {
        self.store
            .run(|db| db.value("select count(*) from message where state = 'dead'", ()))
    }

    /// Returns the Message-ID that a token of a bounce address was made of.
    pub fn message_by_sender(&self, sender: &str) -> Result<Option<String>, StoreError> {
        self.store.run(|db| {
            let sql = "select message_id
                         from message where sender = ? and sender <> ''
                        order by id desc limit 1";
            db.first_value(sql, [sender])
        })
    }

    /// Notes how the attempt with a number ended. Returns whether that was noted.
    ///
    /// An attempt whose lease ran out may end after a later one began: what it says of a failure is not noted
    /// then, for the later one knows better. That the server took the message is noted as long as the message
    /// waits or is tried: it is true whenever it is said, and spares the recipient another copy.
    pub fn finish_attempt(
        &self,
        id: i64,
        attempt: u32,
        next: &Next,
        reply: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (state, next_attempt_at, sent_at) = match next {
            Next::Sent => (MessageState::Sent, None, Some(now.unix())),
            Next::RetryAt(at) => (MessageState::Queued, Some(at.unix()), None),
            Next::Dead => (MessageState::Dead, None, None),
        };
        self.store
            .run(|db| {
                let sql = format!(
                    "update message
                        set state = ?2, next_attempt_at = coalesce(?3, next_attempt_at),
                            sent_at = ?4,
                            last_reply = case when ?2 = 'sent' then ?5 else {noted} end
                      where id = ?1
                            and ((state = 'sending' and attempt_count = ?6)
                                 or (?2 = 'sent' and state in ('queued', 'sending')))",
                    noted = noted("?5")
                );
                db.execute(
                    &sql,
                    params![id, state.word(), next_attempt_at, sent_at, reply, attempt],
                )
            })
            .map(|count| count > 0)
    }

    /// Makes a message that waits, was given up or came back due now. It stays as old as it is: what happened after it was
    /// written is not in it. Returns whether it was any of these.
    pub fn retry_message(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        self.store
            .run(|db| {
                // What came back may have come back from one of those that its address stands for.
                let sql = format!(
                    "update message
                        set state = 'queued', next_attempt_at = ?2, fate = null, bounced_at = null,
                            sent_at = null,
                            last_reply = case when state = 'sent' or fate is not null
                                              then {perhaps} else last_reply end
                      where id = ?1
                            and (state in ('queued', 'dead')
                                 or (state = 'sent' and fate in ('undelivered', 'bounced')))",
                    perhaps = noted_perhaps("coalesce(last_reply, '')")
                );
                db.execute(&sql, params![id, now])
            })
            .map(|count| count > 0)
    }

    /// Returns when somebody last asked for a message by its number, as the log says; `None` if nobody did.
    pub fn asked_by_number_at(&self, row: &MessageRow) -> Result<Option<Timestamp>, StoreError> {
        self.last_retry(row, &format!("{ASKED_BY_NUMBER}; %"))
    }

    /// Returns when a message was last begun anew, as the log says: somebody asked for it, or it was given up and tried
    /// again. `None` if it was not.
    pub fn begun_anew_at(&self, row: &MessageRow) -> Result<Option<Timestamp>, StoreError> {
        let dead = MessageState::Dead.word();
        let given_up = self.last_retry(row, &format!("{TRIED_AGAIN}; it was {dead}"))?;
        Ok(given_up.max(self.asked_by_number_at(row)?))
    }

    /// Returns when a person last had a message tried again with words like these.
    fn last_retry(&self, row: &MessageRow, words: &str) -> Result<Option<Timestamp>, StoreError> {
        let like = format!("message {} to % {words}", row.id);
        let at: Option<i64> = self.store.run(|db| match row.message.case_id {
            Some(case) => {
                let sql = "select max(at)
                             from case_event
                            where case_id = ?1 and actor <> 'fluxwatch' and note like ?2";
                db.value(sql, params![case, like])
            }
            None => {
                let sql = "select max(at) from desk_event where note like ?1";
                db.value(sql, params![like])
            }
        })?;
        Ok(at.map(Timestamp::from_unix))
    }

    /// Gives a message that is in hand other octets, with what they say of themselves.
    pub fn rewrite_message(&self, id: i64, message: &NewMessage) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = "update message
                              set sender = ?2, message_id = ?3, subject = ?4, octets = ?5
                            where id = ?1 and state = 'sending'";
                db.execute(
                    sql,
                    params![
                        id,
                        message.sender,
                        message.message_id,
                        message.subject,
                        message.octets
                    ],
                )
            })
            .map(|_| ())
    }

    /// Takes back the lease of a message that may not leave: it is `dropped` or `dead`, with the reason.
    pub fn stop_message(&self, id: i64, state: MessageState, note: &str) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = format!(
                    "update message
                        set state = ?2, last_reply = {noted}, attempt_count = attempt_count - 1
                      where id = ?1 and state = 'sending'",
                    noted = noted("?3")
                );
                db.execute(&sql, params![id, state.word(), note])
            })
            .map(|_| ())
    }

    /// Returns when the last of the messages is tried that were queued before one, about the same case and to the same
    /// recipient, and are not sent; `None` if it is the first.
    pub fn earlier_unsent_at(&self, row: &MessageRow) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = self.store.run(|db| {
            let sql = "select max(next_attempt_at)
                         from message
                        where case_id = ?1 and recipient = ?2 and id < ?3
                              and state in ('queued', 'sending')";
            db.value(
                sql,
                params![row.message.case_id, row.message.recipient, row.id],
            )
        })?;
        Ok(at.map(Timestamp::from_unix))
    }

    /// Takes back the lease of a message that may not leave yet: it is tried at a time. `note` says why, where nothing
    /// else does.
    pub fn defer_message(
        &self,
        id: i64,
        at: Timestamp,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = format!(
                    "update message
                        set state = 'queued', next_attempt_at = ?2,
                            attempt_count = attempt_count - 1,
                            last_reply = {noted}
                      where id = ?1 and state = 'sending'",
                    noted = noted("coalesce(?3, last_reply)")
                );
                db.execute(&sql, params![id, at, note])
            })
            .map(|_| ())
    }

    /// Returns the cases of which something waits to be told: a message that is not sent, a notice that is not queued, or
    /// a line of the next digest. In the order of their numbers.
    pub fn cases_with_unsent(&self) -> Result<Vec<i64>, StoreError> {
        self.store.run(|db| {
            // Rows of sent ones, which an index names, are not read: see unsent_counts.
            let sql = "select case_id as id
                         from message
                        where id in (select id
                                       from message except
                                     select id
                                       from message
                                      where sent_at is not null)
                              and case_id is not null and state in ('queued', 'dead')
                       union
                       select case_id from notice where state in ('drafted', 'approved')
                       union
                       select id from abuse_case where digest_due = 1
                        order by 1";
            db.values(sql, ())
        })
    }

    /// Returns the messages of the outbox, oldest first: all, or those not yet sent.
    pub fn messages(&self, unsent_only: bool) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages(
            "?1 = 0 or state not in ('sent', 'dropped')",
            i64::from(unsent_only),
        )
    }

    /// Returns the messages that somebody may have to look at, oldest first: those not yet sent, and those that
    /// came back.
    pub fn undone_messages(&self) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages(
            "?1 = 0 and (state not in ('sent', 'dropped') or (state = 'sent' and fate in ('undelivered', 'bounced')))",
            0,
        )
    }

    /// Returns the messages of a case, oldest first.
    pub fn messages_of_case(&self, case_id: i64) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages("case_id = ?1", case_id)
    }

    /// Returns the messages that a condition names.
    fn select_messages(&self, condition: &str, value: i64) -> Result<Vec<MessageRow>, StoreError> {
        let sql = format!("select {HEAD}, octets from message where {condition} order by id");
        let rows = self.store.run(|db| db.query(&sql, [value], read_message))?;
        rows.into_iter()
            .map(|row| row.ok_or_else(|| self.store.damaged("message state")))
            .collect()
    }

    /// Returns the messages of a case without their octets, oldest first: what there is and where it stands.
    pub fn message_heads(&self, case_id: i64) -> Result<Vec<MessageRow>, StoreError> {
        self.select_heads("case_id = ?1 order by id", case_id)
    }

    /// Returns the digests that wait, without their octets, oldest first.
    pub fn waiting_digests(&self) -> Result<Vec<MessageRow>, StoreError> {
        self.select_heads(
            "kind = 'digest' and state = 'queued' and queued_at >= ?1 order by id",
            0,
        )
    }

    /// Returns the digests that were queued at a time, without their octets.
    pub fn digests_of(&self, queued_at: Timestamp) -> Result<Vec<MessageRow>, StoreError> {
        self.select_heads(
            "kind = 'digest' and queued_at = ?1 order by id",
            queued_at.unix(),
        )
    }

    /// Returns when the digest before one of a time was queued; `None` if there is none.
    pub fn digest_before(&self, queued_at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = self.store.run(|db| {
            let sql = "select max(queued_at)
                         from message
                        where kind = 'digest' and queued_at < ?";
            db.value(sql, [queued_at.unix()])
        })?;
        Ok(at.map(Timestamp::from_unix))
    }

    /// Returns the digests that were queued at a time or later, without their octets, oldest first.
    pub fn digests_since(&self, queued_at: Timestamp) -> Result<Vec<MessageRow>, StoreError> {
        self.select_heads(
            "kind = 'digest' and queued_at >= ?1 order by id",
            queued_at.unix(),
        )
    }

    /// Returns a message without its octets.
    pub fn message_head(&self, id: i64) -> Result<Option<MessageRow>, StoreError> {
        Ok(self.select_heads("id = ?1", id)?.pop())
    }

    /// Returns the messages that a condition names, without their octets.
    fn select_heads(&self, condition: &str, value: i64) -> Result<Vec<MessageRow>, StoreError> {
        let sql = format!("select {HEAD} from message where {condition}");
        let read = |row: &Row<'_>| read_head(row, Vec::new());
        let rows = self.store.run(|db| db.query(&sql, [value], read))?;
        rows.into_iter()
            .map(|row| row.ok_or_else(|| self.store.damaged("message state")))
            .collect()
    }
}

/// Reads the columns of [`HEAD`] and the octets; `None` for a state or kind that this program does not write.
fn read_message(row: &Row<'_>) -> Result<Option<MessageRow>, Fault> {
    read_head(row, row.get("octets")?)
}

/// Reads the columns of [`HEAD`]; `None` for a state or kind that this program does not write.
fn read_head(row: &Row<'_>, octets: Vec<u8>) -> Result<Option<MessageRow>, Fault> {
    let state = MessageState::parse(&row.get::<String>("state")?);
    let kind = MailKind::parse(&row.get::<String>("kind")?);
    let fate = row.get::<Option<String>>("fate")?;
    let fate = fate.as_deref().map(Fate::parse);
    let (Some((state, kind)), None | Some(Some(_))) = (state.zip(kind), fate) else {
        return Ok(None);
    };
    Ok(Some(MessageRow {
        id: row.get("id")?,
        message: NewMessage {
            case_id: row.get("case_id")?,
            kind,
            revision: row.get("revision")?,
            recipient: row.get("recipient")?,
            sender: row.get("sender")?,
            message_id: row.get("message_id")?,
            subject: row.get("subject")?,
            octets,
        },
        state,
        attempt_count: row.get("attempt_count")?,
        queued_at: row.get("queued_at")?,
        next_attempt_at: row.get("next_attempt_at")?,
        sent_at: row.get("sent_at")?,
        // One from before replies were made plain is made so here, for every listing.
        last_reply: row
            .get::<Option<String>>("last_reply")?
            .as_deref()
            .map(plain_reply),
        bounced_at: row.get("bounced_at")?,
        fate: fate.flatten(),
    }))
}

#[cfg(test)]
mod tests {
    use crate::store::handle::{Store, StoreOptions};

    use super::*;

    #[test]
    fn look_for_what_is_due_passes_over_what_waits_behind_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let plan: Vec<String> = store
            .run(|db| {
                db.query(
                    &format!("explain query plan {OLDEST_DUE}"),
                    params!["a", "b", 0],
                    |row| row.get("detail"),
                )
            })
            .expect("planned");
        let plan = plan.join("\n");
        for step in [
            "SEARCH message USING INDEX message_by_lane (lane>? AND lane<?)",
            "SEARCH m USING INDEX message_by_lane (lane=? AND recipient>?)",
            "SEARCH m USING INDEX message_by_lane (lane>? AND lane<?)",
        ] {
            assert!(plan.contains(step), "{plan}");
        }
        assert!(
            !plan.contains("SCAN message") && !plan.contains("SCAN m\n"),
            "{plan}"
        );
    }
}
