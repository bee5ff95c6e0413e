//! What the row of a zone, or of a view of one, says of the attempts at it.

use crate::store::door::{Db, Fault, params};
use crate::store::value::IntoValue;
use crate::store::zones::unwatched::{IS_AWAITED, IS_SHOWN, UNSEEN_FOR};
use crate::time::{Span, Timestamp};
use crate::zone::Refusal;

/// Which row is meant by a zone's apex.
pub(in crate::store) const OF_ZONE: &str = "name = ?1 and view = 'zone'";
/// Which row is meant by its number: a probe has several views of a domain.
pub(in crate::store) const OF_VIEW: &str = "id = ?1";

/// For how long a zone that is transferred may not have been asked for before nobody knows any more when it changed. Name
/// servers that rotate are seldom faster. Chosen by hand.
const NOT_ASKED_MIN: Span = Span::hours(1);
/// Whether a row of `zone` is transferred: its versions have the time at which they were asked for.
const IS_TRANSFERRED: &str =
    "source_id in (select id from source where kind in ('transfer', 'catalog'))";

/// Notes that an attempt failed. When it failed first is never later than now, whatever a clock said that was ahead, nor is
/// its last success. Of a row that failed before this was noted it is the last success: nobody knows better.
pub(in crate::store) fn note_failed(
    db: &Db,
    which: &str,
    key: &impl IntoValue,
    at: Timestamp,
    refusal: &Refusal,
) -> Result<(), Fault> {
    let sql = format!(
        "update zone
            set last_attempt_at = ?2, last_error = ?3, refused_reason = ?4,
                held = ?5, attempt_count = attempt_count + 1,
                failed_at = case when failed_at <= ?2 then failed_at
                                 when failed_at is null and last_error is not null
                                      and last_attempt_at <> last_success_at
                                      and last_success_at <= ?2 then last_success_at
                                 else ?2 end,
                last_success_at = case when last_success_at > ?2 then ?2
                                       else last_success_at end,
                failure_count = failure_count + 1
          where {which}"
    );
    let (what, code, held) = (refusal.to_string(), refusal.code(), refusal.is_held());
    db.execute(&sql, params![key, at, what, code, held])?;
    Ok(())
}

/// Notes that attempts succeeded. Each leaves a gap where nobody could see the zone until now.
pub(in crate::store) fn note_seen<K: IntoValue>(
    db: &Db,
    which: &str,
    keys: impl Iterator<Item = K>,
    at: Timestamp,
) -> Result<(), Fault> {
    let mut ahead = db.prepare(&format!(
        "update gap
            set to_at = case when from_at > ?2 then from_at else ?2 end, judged = 0
          where zone_id = (select id
                             from zone
                            where {which} and last_success_at > ?2)
                and to_at > ?2"
    ))?;
    // A pass over files that took the newest and refused an older one leaves no time unseen.
    let mut gap = db.prepare(&format!(
        "insert into gap (zone_id, from_at, to_at, reason, known_at, judged)
         select id, last_success_at,
                case when last_success_at > ?2 then last_success_at else ?2 end,
                {UNSEEN_FOR}, case when ended is null then failed_at end, 0
           from zone
          where {which} and last_success_at is not null
                and ({IS_AWAITED}
                     or last_success_at < ?3 and {IS_TRANSFERRED}
                        and exists (select 1
                                      from version v
                                     where v.zone_id = zone.id and v.id = zone.version_id
                                           and v.observed_at > zone.last_success_at)
                     or last_error is not null
                        and not (failed_at is null and last_attempt_at = last_success_at
                                 and source_id in
                                   (select id
                                      from source
                                     where kind in ('zonefile', 'import'))))
         on conflict do nothing"
    ))?;
    let mut seen = db.prepare(&format!(
        "update zone
            set last_attempt_at = ?2, last_success_at = ?2, last_error = null,
                refused_reason = null, failed_at = null, {IS_SHOWN}, held = 0,
                accept_requested = 0,
                attempt_count = attempt_count + 1
          where {which}"
    ))?;
    for key in keys {
        ahead.execute(params![key, at])?;
        gap.execute(params![key, at, at - NOT_ASKED_MIN])?;
        seen.execute(params![key, at])?;
    }
    Ok(())
}
