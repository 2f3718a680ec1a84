//! The filters that one session has subscribed to: mostly one, at times very many.

use super::routes::FilterId;

/// Filters, each once, rising. One alone takes no more room than itself.
#[derive(Debug, Default)]
pub(crate) enum FilterSet {
    #[default]
    None,
    One(FilterId),
    #[allow(
        clippy::box_collection,
        reason = "few sessions have several, and there may be millions of sessions"
    )]
    Many(Box<Vec<FilterId>>),
}

impl FilterSet {
    pub(crate) fn as_slice(&self) -> &[FilterId] {
        match self {
            Self::None => &[],
            Self::One(filter) => std::slice::from_ref(filter),
            Self::Many(filters) => filters,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(crate) fn contains(&self, filter: FilterId) -> bool {
        self.as_slice().binary_search(&filter).is_ok()
    }

    /// False if it is there already.
    pub(crate) fn insert(&mut self, filter: FilterId) -> bool {
        match self {
            Self::None => *self = Self::One(filter),
            Self::One(one) if *one == filter => return false,
            Self::One(one) => {
                let filters = vec![(*one).min(filter), (*one).max(filter)];
                *self = Self::Many(Box::new(filters));
            }
            Self::Many(filters) => match filters.binary_search(&filter) {
                Ok(_) => return false,
                Err(at) => filters.insert(at, filter),
            },
        }
        true
    }

    pub(crate) fn remove(&mut self, filter: FilterId) {
        match self {
            Self::One(one) if *one == filter => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(filters) => {
                if let Ok(at) = filters.binary_search(&filter) {
                    filters.remove(at);
                }
                if let [one] = filters[..] {
                    *self = Self::One(one);
                }
            }
        }
    }
}

impl FromIterator<FilterId> for FilterSet {
    fn from_iter<I: IntoIterator<Item = FilterId>>(filters: I) -> Self {
        let mut filters: Vec<_> = filters.into_iter().collect();
        filters.sort_unstable();
        filters.dedup();
        match filters[..] {
            [] => Self::None,
            [one] => Self::One(one),
            _ => Self::Many(Box::new(filters)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            start in vec(0..6_usize, 0..4),
            steps in vec((any::<bool>(), 0..6_usize), 0..40),
        ) {
            let start = start.into_iter().map(FilterId::of);
            let mut expected: BTreeSet<_> = start.clone().collect();
            let mut set: FilterSet = start.collect();
            for (insert, index) in steps {
                let filter = FilterId::of(index);
                prop_assert_eq!(set.contains(filter), expected.contains(&filter));
                if insert {
                    prop_assert_eq!(set.insert(filter), expected.insert(filter));
                } else {
                    set.remove(filter);
                    expected.remove(&filter);
                }
                let expected: Vec<_> = expected.iter().copied().collect();
                prop_assert_eq!(set.as_slice(), &expected[..]);
                prop_assert_eq!(set.len(), expected.len());
            }
        }
    }
}
