//! Which values of a dimension are kept apart: the first 1,000 of each project and dimension, for good.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use assize_core::results::{DIMENSION_VALUES_MAX, OTHER};
use assize_core::{Accepted, ProjectName};
use rusqlite::Connection;

use super::rollup::backfill;

/// How many values are remembered over all projects before the memory is emptied and filled anew.
const REMEMBERED_MAX: usize = 200_000;

/// What the writer remembers of the table `dimension_value`.
#[derive(Default)]
pub(super) struct Dimensions {
    projects: HashMap<ProjectName, Known>,
    remembered: usize,
}

/// The known dimensions of a project, by name, with their values.
pub(super) type Known = BTreeMap<String, HashSet<String>>;

impl Dimensions {
    /// Makes the known dimensions of `project` available to [`known`](Self::known).
    pub fn load(&mut self, connection: &Connection, project: &ProjectName) -> rusqlite::Result<()> {
        if self.projects.contains_key(project) {
            return Ok(());
        }
        let mut known = Known::new();
        let mut statement = connection.prepare_cached("SELECT dimension, value FROM dimension_value WHERE project = ?1")?;
        let mut rows = statement.query([project.as_str()])?;
        while let Some(row) = rows.next()? {
            known.entry(row.get(0)?).or_default().insert(row.get(1)?);
            self.remembered += 1;
        }
        self.projects.insert(project.clone(), known);
        Ok(())
    }

    /// The known dimensions of a project that was loaded.
    pub fn known(&self, project: &ProjectName) -> Option<&Known> {
        self.projects.get(project)
    }

    /// Gives memory back between operations, when too much is remembered.
    pub fn trim(&mut self) {
        if self.remembered > REMEMBERED_MAX {
            *self = Self::default();
        }
    }

    /// The row with those of its dimension values that count, the others replaced by `other`. A dimension that was not known before is
    /// filled in for all that was folded earlier, so that the groups of a dimension always add up to the total.
    pub fn admit<'a>(&mut self, connection: &Connection, row: &'a Accepted) -> rusqlite::Result<Cow<'a, Accepted>> {
        let mut row = Cow::Borrowed(row);
        self.load(connection, &row.project)?;
        let Some(known) = self.projects.get_mut(&row.project) else { return Ok(row) };
        for position in 0..row.dimensions.len() {
            let (dimension, value) = &row.dimensions[position];
            let name = dimension.to_string();
            let values = match known.get_mut(&name) {
                Some(values) => values,
                None => {
                    backfill(connection, &row.project, &name)?;
                    known.entry(name.clone()).or_default()
                }
            };
            if values.contains(value) {
                continue;
            }
            if values.len() >= DIMENSION_VALUES_MAX {
                OTHER.clone_into(&mut row.to_mut().dimensions[position].1);
                continue;
            }
            connection
                .prepare_cached("INSERT INTO dimension_value (project, dimension, value) VALUES (?1, ?2, ?3)")?
                .execute((row.project.as_str(), &name, value.as_str()))?;
            values.insert(value.clone());
            self.remembered += 1;
        }
        Ok(row)
    }
}
