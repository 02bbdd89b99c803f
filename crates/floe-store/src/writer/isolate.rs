//! Finds the rows of a batch that the database refuses.

use super::{
    Part, Target, Write,
    group::{Verdict, verdict},
    task::Task,
};
use crate::{
    connection::{Connection, Kind},
    error::Failure,
    limits::REJECTED_AT_ONCE,
    positions,
};

impl<T: Target> Task<T> {
    /// Tries halves of the batch, and halves of what fails, in a transaction that is rolled back. Answers bad rows by
    /// their place in the batch; no more than [`REJECTED_AT_ONCE`].
    pub(super) async fn isolate(
        &self,
        connection: &mut Connection,
        write: &Write<T::Row>,
    ) -> Result<Vec<(usize, String)>, Failure> {
        let _turn = self.database.writing().await;
        connection.begin().await?;
        let found = self.isolate_inside(connection, write).await;
        if !matches!(found, Err(Failure::Unavailable(_))) {
            connection.rollback().await;
        }
        found
    }

    async fn isolate_inside(
        &self,
        connection: &mut Connection,
        write: &Write<T::Row>,
    ) -> Result<Vec<(usize, String)>, Failure> {
        if connection.kind() == Kind::Postgres {
            // What is otherwise only checked by the commit has to be checked row by row here.
            connection.run("SET CONSTRAINTS ALL IMMEDIATE").await?;
        }
        let position = positions::lock(connection, self.target.name(), &[&write.key]).await?.pop().flatten();
        let first = match verdict::<T>(write, position.as_ref()) {
            Verdict::From(first) => first,
            Verdict::Fenced | Verdict::Done => return Ok(Vec::new()),
        };
        let mut rejected = Vec::new();
        // Ranges still to be tried, the first last.
        let mut ranges = vec![(first, write.rows.len())];
        while let Some((from, to)) = ranges.pop() {
            connection.run("SAVEPOINT part").await?;
            let part = Part { key: &write.key, rows: &write.rows[from..to] };
            match self.target.insert(connection, &[part]).await {
                Ok(_) => {}
                Err(Failure::Data(why)) => {
                    connection.run("ROLLBACK TO SAVEPOINT part").await?;
                    if to - from <= 1 {
                        rejected.push((from, why));
                    } else {
                        let middle = from + (to - from) / 2;
                        ranges.extend([(middle, to), (from, middle)]);
                    }
                }
                Err(failure) => return Err(failure),
            }
            connection.run("RELEASE SAVEPOINT part").await?;
            if rejected.len() >= REJECTED_AT_ONCE {
                break;
            }
        }
        Ok(rejected)
    }
}
