//! Values on their way to another thread (rule T168).

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use super::{KeyId, LocalContext, Value};

/// A clone of a value that may be sent.
type Packed = Box<dyn Any + Send>;

/// How the values of a key travel: as clones, in a box that may be sent.
#[derive(Clone, Copy)]
pub(super) struct Travel {
    pack: fn(&dyn Any) -> Option<Packed>,
    unpack: fn(Packed) -> Option<Rc<dyn Any>>,
}

impl Travel {
    pub(super) const fn of<T: Send + Clone + 'static>() -> Self {
        Self {
            pack: |value| Some(Box::new(value.downcast_ref::<T>()?.clone())),
            unpack: |packed| Some(Rc::new(*packed.downcast::<T>().ok()?)),
        }
    }
}

/// Clones of the values that [`sendable`](crate::LocalKey::sendable) keys have in one place, for another thread to
/// have them while it does something on our behalf (rule T168).
pub struct Travelling(Vec<(KeyId, Travel, Packed)>);

impl Travelling {
    /// Clones what is set now. `None`, for the price of a look, if nothing that may travel is.
    #[must_use]
    pub fn capture_any() -> Option<Self> {
        if !LocalContext::is_any_set() {
            return None;
        }
        Some(Self::capture()).filter(|captured| !captured.0.is_empty())
    }

    /// Clones what is set now.
    pub(crate) fn capture() -> Self {
        let context = LocalContext::current();
        let values = context.0.iter().flat_map(|map| map.iter());
        let packed = values.filter_map(|(id, value)| {
            let travel = value.travel?;
            Some((*id, travel, (travel.pack)(&*value.value)?))
        });
        Self(packed.collect())
    }

    /// Calls `f` with these values set, and only these.
    pub fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let mut context = LocalContext::default();
        for (id, travel, packed) in self.0 {
            if let Some(value) = (travel.unpack)(packed) {
                context.insert(id, Value { value, travel: Some(travel) });
            }
        }
        context.enter(f)
    }
}

impl fmt::Debug for Travelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Travelling").field("keys", &self.0.len()).finish()
    }
}
