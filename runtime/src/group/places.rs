//! The places of a gather: a collection of one type, or a tuple of several.

use super::gather::Children;
use super::items::{IntoTask, Joinable};
use crate::error::Result;

/// What [`gather`](crate::gather) takes: any collection of [`IntoTask`]s of one type, or a tuple of up to eight
/// of different ones.
///
/// `Kind` is [`Collection`] or [`Tuple`], and is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a collection nor a tuple of tasks and futures",
    note = "a future has to be `'static` and return `corelane::Result`; tuples have one to eight members"
)]
pub trait Gatherable<Kind> {
    /// The tasks.
    type Places: Places;

    /// Makes tasks of what are none yet, in order (rule T61).
    #[doc(hidden)]
    #[track_caller]
    fn into_places(self) -> Self::Places;
}

/// Says that a [`Gatherable`] is a collection.
#[derive(Debug)]
pub enum Collection {}

/// Says that a [`Gatherable`] is a tuple.
#[derive(Debug)]
pub enum Tuple {}

/// The tasks of a gather, each in its place: a `Vec` or a tuple of [`TaskHandle`](super::TaskHandle)s.
pub trait Places: Unpin + sealed::Sealed {
    /// One value for each place.
    type Values;
    /// One outcome for each place.
    type Outcomes;

    #[doc(hidden)]
    fn observe(&self, children: &mut Children);
    /// When all have ended.
    #[doc(hidden)]
    fn into_values(self) -> Result<Self::Values>;
    /// When all have ended.
    #[doc(hidden)]
    fn into_outcomes(self) -> Self::Outcomes;
}

mod sealed {
    pub trait Sealed {}

    impl<H> Sealed for Vec<H> {}
}

impl<I> Gatherable<Collection> for I
where
    I: IntoIterator<Item: IntoTask<Handle: Joinable>>,
{
    type Places = Vec<<I::Item as IntoTask>::Handle>;

    fn into_places(self) -> Self::Places {
        let items = self.into_iter();
        let mut places = Vec::with_capacity(items.size_hint().0);
        // Not an adapter's closure, which would be the place that created the tasks.
        for item in items {
            places.push(item.into_task());
        }
        places
    }
}

impl<H: Joinable> Places for Vec<H> {
    type Values = Vec<H::Output>;
    type Outcomes = Vec<Result<H::Output>>;

    fn observe(&self, children: &mut Children) {
        for handle in self {
            children.observe(handle);
        }
    }

    fn into_values(self) -> Result<Self::Values> {
        self.into_iter().map(H::join_done).collect()
    }

    fn into_outcomes(self) -> Self::Outcomes {
        self.into_iter().map(H::join_done).collect()
    }
}

macro_rules! tuples {
    ($($member:ident)+) => {
        impl<$($member),+> sealed::Sealed for ($($member,)+) {}

        impl<$($member),+> Gatherable<Tuple> for ($($member,)+)
        where
            $($member: IntoTask<Handle: Joinable>),+
        {
            type Places = ($($member::Handle,)+);

            #[allow(non_snake_case, reason = "one identifier for a type and its member")]
            fn into_places(self) -> Self::Places {
                let ($($member,)+) = self;
                ($($member.into_task(),)+)
            }
        }

        #[allow(non_snake_case, reason = "one identifier for a type and its member")]
        impl<$($member: Joinable),+> Places for ($($member,)+) {
            type Values = ($($member::Output,)+);
            type Outcomes = ($(Result<$member::Output>,)+);

            fn observe(&self, children: &mut Children) {
                let ($($member,)+) = self;
                $(children.observe($member);)+
            }

            fn into_values(self) -> Result<Self::Values> {
                let ($($member,)+) = self;
                Ok(($($member.join_done()?,)+))
            }

            fn into_outcomes(self) -> Self::Outcomes {
                let ($($member,)+) = self;
                ($($member.join_done(),)+)
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
