//! An exit table from batches.

use crate::{ExitTable, PolicyError};

/// Builds an [`ExitTable`] batch by batch.
///
/// ```
/// use offramp_policies::ExitTableBuilder;
///
/// let mut builder = ExitTableBuilder::new(2, 3)?;
/// builder.push_batch(&[vec![0.0, 1.0, 2.0], vec![0.0, 5.0, 2.0]], &[1])?;
/// builder.push_batch(&[vec![0.0; 6], vec![1.0; 6]], &[0, 2])?;
/// assert_eq!(builder.finish()?.samples(), 3);
/// # Ok::<(), offramp_policies::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExitTableBuilder {
    classes: usize,
    labels: Vec<usize>,
    logits: Vec<Vec<f32>>,
}

impl ExitTableBuilder {
    /// An empty table of `exits` exits and `classes` classes.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`] or [`PolicyError::TooFewClasses`].
    pub fn new(exits: usize, classes: usize) -> Result<Self, PolicyError> {
        let logits = vec![Vec::new(); exits];
        check_batch(&logits, classes, &[], 0)?;
        Ok(Self {
            classes,
            labels: Vec::new(),
            logits,
        })
    }

    /// Appends a batch: the logits of each exit, row-major `[B x C]`, and `B` labels.
    ///
    /// # Errors
    /// Those of [`ExitTable::new`], samples counted from the first batch, and
    /// [`PolicyError::ExitCount`]. A refused batch leaves the builder as it was.
    pub fn push_batch(
        &mut self,
        logits: &[impl AsRef<[f32]>],
        labels: &[usize],
    ) -> Result<(), PolicyError> {
        let (found, expected) = (logits.len(), self.logits.len());
        if found != expected {
            return Err(PolicyError::ExitCount {
                what: "blocks of logits",
                found,
                expected,
            });
        }
        check_batch(logits, self.classes, labels, self.labels.len())?;
        for (all, batch) in self.logits.iter_mut().zip(logits) {
            all.extend_from_slice(batch.as_ref());
        }
        self.labels.extend_from_slice(labels);
        Ok(())
    }

    /// The table of all batches.
    ///
    /// # Errors
    /// [`PolicyError::NoSamples`] when no row was pushed.
    pub fn finish(self) -> Result<ExitTable, PolicyError> {
        ExitTable::new(self.logits, self.classes, self.labels)
    }
}

/// Checks rows that start at sample `first`.
pub(crate) fn check_batch(
    logits: &[impl AsRef<[f32]>],
    classes: usize,
    labels: &[usize],
    first: usize,
) -> Result<(), PolicyError> {
    if logits.is_empty() {
        return Err(PolicyError::NoExits);
    }
    if classes < 2 {
        return Err(PolicyError::TooFewClasses { classes });
    }
    let samples = labels.len();
    let expected = samples.saturating_mul(classes);
    for (exit, logits) in logits.iter().map(AsRef::as_ref).enumerate() {
        let found = logits.len();
        if found != expected {
            return Err(PolicyError::LogitCount {
                exit,
                found,
                expected,
                samples,
                classes,
            });
        }
    }
    for (row, &label) in labels.iter().enumerate() {
        let sample = first + row;
        if label >= classes {
            return Err(PolicyError::LabelOutOfRange {
                sample,
                label,
                classes,
            });
        }
        for (exit, logits) in logits.iter().map(AsRef::as_ref).enumerate() {
            let values = &logits[row * classes..][..classes];
            if let Some(class) = values.iter().position(|z| !z.is_finite()) {
                let value = values[class];
                return Err(PolicyError::NonFiniteLogit {
                    sample,
                    exit,
                    class,
                    value,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_make_the_same_table_and_bad_ones_leave_no_trace() {
        let mut builder = ExitTableBuilder::new(1, 2).unwrap();
        builder.push_batch(&[[0.0, 1.0]], &[1]).unwrap();
        let error = builder
            .push_batch(&[[0.0, 1.0, f32::NAN, 0.0]], &[1, 0])
            .unwrap_err();
        assert!(error.to_string().starts_with("sample 2, exit 0"), "{error}");
        assert!(matches!(
            builder.push_batch(&[[0.0, 1.0], [0.0, 1.0]], &[1]),
            Err(PolicyError::ExitCount {
                found: 2,
                expected: 1,
                ..
            })
        ));
        builder.push_batch(&[[3.0, 2.0]], &[1]).unwrap();
        let table = builder.finish().unwrap();
        let whole = ExitTable::new(vec![vec![0.0, 1.0, 3.0, 2.0]], 2, vec![1, 1]).unwrap();
        assert_eq!(table.labels(), whole.labels());
        assert_eq!(table.evidence(1, 0), whole.evidence(1, 0));
        assert!(matches!(
            ExitTableBuilder::new(1, 2).unwrap().finish(),
            Err(PolicyError::NoSamples)
        ));
    }
}
