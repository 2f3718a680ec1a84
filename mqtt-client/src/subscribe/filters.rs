//! What can be the topic filters of a subscription.

use mqtt_codec::{DecodeError, QoS, TopicFilter};

/// A topic filter, and its own quality of service if it has one.
pub type FilterWithQoS = (TopicFilter, Option<QoS>);

/// One topic filter: text, which is checked, a [`TopicFilter`], which was, or one of these with a [`QoS`] of
/// its own.
pub trait IntoFilter {
    /// The filter.
    ///
    /// # Errors
    /// If it is no topic filter.
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError>;
}

impl IntoFilter for TopicFilter {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        Ok((self, None))
    }
}

impl IntoFilter for &TopicFilter {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        Ok((self.clone(), None))
    }
}

impl IntoFilter for &str {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        Ok((TopicFilter::from_text(self)?, None))
    }
}

impl IntoFilter for &&str {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        (*self).into_filter()
    }
}

impl IntoFilter for String {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        Ok((TopicFilter::new(self.into())?, None))
    }
}

impl IntoFilter for &String {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        self.as_str().into_filter()
    }
}

impl<F: IntoFilter> IntoFilter for (F, QoS) {
    fn into_filter(self) -> Result<FilterWithQoS, DecodeError> {
        Ok((self.0.into_filter()?.0, Some(self.1)))
    }
}

/// The topic filters of a subscription: one, or a list.
pub trait IntoFilters {
    /// The filters in their order.
    ///
    /// # Errors
    /// If one is no topic filter.
    fn into_filters(self) -> Result<Vec<FilterWithQoS>, DecodeError>;
}

macro_rules! one {
    ($($filter:ty)+) => { $(
        impl IntoFilters for $filter {
            fn into_filters(self) -> Result<Vec<FilterWithQoS>, DecodeError> {
                Ok(vec![self.into_filter()?])
            }
        }
    )+ };
}

one! { TopicFilter &TopicFilter &str String &String }

impl<F: IntoFilter> IntoFilters for (F, QoS) {
    fn into_filters(self) -> Result<Vec<FilterWithQoS>, DecodeError> {
        Ok(vec![self.into_filter()?])
    }
}

impl<F: IntoFilter> IntoFilters for Vec<F> {
    fn into_filters(self) -> Result<Vec<FilterWithQoS>, DecodeError> {
        self.into_iter().map(IntoFilter::into_filter).collect()
    }
}

impl<F: IntoFilter, const N: usize> IntoFilters for [F; N] {
    fn into_filters(self) -> Result<Vec<FilterWithQoS>, DecodeError> {
        self.into_iter().map(IntoFilter::into_filter).collect()
    }
}

impl<'a, F> IntoFilters for &'a [F]
where
    &'a F: IntoFilter,
{
    fn into_filters(self) -> Result<Vec<FilterWithQoS>, DecodeError> {
        self.iter().map(IntoFilter::into_filter).collect()
    }
}
