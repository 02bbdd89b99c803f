//! One transaction: positions are locked and compared, rows inserted, positions moved.

use super::{Part, Target, Write, task::Task};
use crate::{Claim, PositionKey, WriteError, connection::Connection, error::Failure, positions};

/// What is to be done about one write, now that its position is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The partition is somebody else's.
    Fenced,
    /// An earlier attempt, whose answer was lost, has done it.
    Done,
    /// Rows from here on are written.
    From(usize),
}

impl<T: Target> Task<T> {
    /// Writes the group in one transaction and answers each of its writes. `Err`: nothing was written; after
    /// `Unavailable` nobody knows, and the same writes made again find out by their positions.
    pub(super) async fn commit_group(
        &self,
        connection: &mut Connection,
        group: &[Write<T::Row>],
    ) -> Result<Vec<Result<u64, WriteError>>, Failure> {
        let _turn = self.database.writing().await;
        connection.begin().await?;
        let (answers, news) = match self.write_inside(connection, group).await {
            Ok(written) => written,
            Err(failure) => {
                if !matches!(failure, Failure::Unavailable(_)) {
                    connection.rollback().await;
                }
                return Err(failure);
            }
        };
        self.target.committing(&news);
        let committed = connection.commit().await;
        self.target.committed(news, committed.is_ok());
        committed.map(|()| answers)
    }

    async fn write_inside(
        &self,
        connection: &mut Connection,
        group: &[Write<T::Row>],
    ) -> Result<(Vec<Result<u64, WriteError>>, T::News), Failure> {
        let keys: Vec<&PositionKey> = group.iter().map(|write| &write.key).collect();
        let locked = positions::lock(connection, self.target.name(), &keys).await?;
        let verdicts: Vec<_> = group
            .iter()
            .zip(&locked)
            .map(|(write, position)| verdict::<T>(write, position.as_ref()))
            .collect();
        let mut parts = Vec::with_capacity(group.len());
        let mut moved = Vec::with_capacity(group.len());
        for (write, verdict) in group.iter().zip(&verdicts) {
            if let Verdict::From(first) = verdict {
                parts.push(Part { key: &write.key, rows: &write.rows[*first..] });
                moved.push((&write.key, write.next_offset));
            }
        }
        let inserted = self.target.insert(connection, &parts).await?;
        if !moved.is_empty() {
            positions::advance(connection, self.target.name(), &moved).await?;
        }
        let mut new = inserted.new.into_iter();
        let answers = verdicts.iter().map(|verdict| match verdict {
            Verdict::Fenced => Err(WriteError::Fenced),
            Verdict::Done => Ok(0),
            Verdict::From(_) => Ok(new.next().unwrap_or_default()),
        });
        Ok((answers.collect(), inserted.news))
    }
}

pub(super) fn verdict<T: Target>(write: &Write<T::Row>, position: Option<&Claim>) -> Verdict {
    match position {
        Some(position) if position.epoch == write.epoch => match position.next_offset {
            Some(next) if next >= write.next_offset => Verdict::Done,
            Some(next) => Verdict::From(write.rows.partition_point(|row| T::offset(row) < next)),
            None => Verdict::From(0),
        },
        Some(_) | None => Verdict::Fenced,
    }
}
