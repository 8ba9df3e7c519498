//! Several errors as one (rule E8).

use std::error::Error as StdError;
use std::fmt;

use super::Error;

/// A message and the errors that it stands for, in their order; any of them may be a group again.
///
/// It is what a task group fails with. [`Error::downcast_ref`] gives it back from an [`Error`]:
///
/// ```
/// use corelane::{Error, ExceptionGroup};
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// let failed = corelane::task_group(async |group| {
///     group.add(async { Err::<(), _>(Error::msg("disk")) })?;
///     group.add(async { Err::<(), _>(Error::msg("network")) })?;
///     Ok(())
/// });
/// let error = failed.await.unwrap_err();
/// let group = error.downcast_ref::<ExceptionGroup>().expect("a task group fails with a group");
/// let texts: Vec<_> = group.errors().iter().map(|error| error.to_string()).collect();
/// assert_eq!(texts, ["disk", "network"]);
/// # Ok(())
/// # })?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExceptionGroup {
    message: String,
    errors: Vec<Error>,
}

impl ExceptionGroup {
    /// A group of at least one error.
    ///
    /// # Panics
    /// Without an error.
    #[must_use]
    pub fn new(message: impl Into<String>, errors: Vec<Error>) -> Self {
        assert!(!errors.is_empty(), "a group of errors holds at least one");
        Self { message: message.into(), errors }
    }

    /// What it was made with.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The errors, in order. There is at least one.
    #[must_use]
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// The group with only those errors that `matches` accepts, at any depth; `None` if there is none. Nested
    /// groups keep their messages, and are asked about as a whole first.
    #[must_use]
    pub fn subgroup(&self, mut matches: impl FnMut(&Error) -> bool) -> Option<Self> {
        self.split(&mut matches).0
    }

    /// The group as two: what `matches` accepts, and the rest. Either is `None` if it would be empty.
    #[must_use]
    pub fn split(&self, mut matches: impl FnMut(&Error) -> bool) -> (Option<Self>, Option<Self>) {
        self.split_by(&mut matches)
    }

    fn split_by(&self, matches: &mut dyn FnMut(&Error) -> bool) -> (Option<Self>, Option<Self>) {
        let (mut matching, mut rest) = (Vec::new(), Vec::new());
        for error in &self.errors {
            if matches(error) {
                matching.push(error.clone());
            } else if let Some(nested) = error.downcast_ref::<Self>() {
                let (inner, outer) = nested.split_by(matches);
                matching.extend(inner.map(Error::from));
                rest.extend(outer.map(Error::from));
            } else {
                rest.push(error.clone());
            }
        }
        (self.with_errors(matching), self.with_errors(rest))
    }

    fn with_errors(&self, errors: Vec<Error>) -> Option<Self> {
        (!errors.is_empty()).then(|| Self { message: self.message.clone(), errors })
    }
}

impl fmt::Display for ExceptionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.errors.len() == 1 { "" } else { "s" };
        write!(f, "{} ({} error{plural}: ", self.message, self.errors.len())?;
        for (index, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        f.write_str(")")
    }
}

impl StdError for ExceptionGroup {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.errors.first().and_then(Error::as_standard)
    }
}
