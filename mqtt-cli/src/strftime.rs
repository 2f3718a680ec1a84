//! The conversions of C's `strftime` in the C locale, which is the one that Mosquitto's programs run in.

use jiff::Zoned;

use crate::format::print;

/// Writes one conversion, such as `Y` for the year. One that C's library has not is written as it is, with a `%` in front.
pub(crate) fn write(conversion: u8, time: &Zoned, out: &mut Vec<u8>) {
    let letter;
    let format = match conversion {
        b'c' => "%a %b %e %H:%M:%S %Y",
        b'D' | b'x' => "%m/%d/%y",
        b'F' => "%Y-%m-%d",
        b'h' => "%b",
        b'n' => return out.push(b'\n'),
        b'r' => "%I:%M:%S %p",
        b'R' => "%H:%M",
        b't' => return out.push(b'\t'),
        b'T' | b'X' => "%H:%M:%S",
        b'%' => return out.push(b'%'),
        b'a' | b'A' | b'b' | b'B' | b'C' | b'd' | b'e' | b'g' | b'G' | b'H' | b'I' | b'j'
        | b'k' | b'l' | b'm' | b'M' | b'p' | b'P' | b's' | b'S' | b'u' | b'U' | b'V' | b'w'
        | b'W' | b'y' | b'Y' | b'z' | b'Z' => {
            letter = ['%', char::from(conversion)].iter().collect::<String>();
            &letter
        }
        other => return out.extend_from_slice(&[b'%', other]),
    };
    print(out, format_args!("{}", time.strftime(format)));
}

/// Writes `2016-08-10T09:47:38+0100`.
pub(crate) fn write_iso8601(time: &Zoned, out: &mut Vec<u8>) {
    print(
        out,
        format_args!("{}", time.strftime("%Y-%m-%dT%H:%M:%S%z")),
    );
}

/// Writes `2016-08-10T09:47:38.786368Z+0100`, which is Mosquitto's alone.
pub(crate) fn write_iso8601_microseconds(time: &Zoned, out: &mut Vec<u8>) {
    let microseconds = nanoseconds(time) / 1000;
    print(
        out,
        format_args!(
            "{}.{microseconds:06}Z{}",
            time.strftime("%Y-%m-%dT%H:%M:%S"),
            time.strftime("%z")
        ),
    );
}

/// What has passed of the second.
pub(crate) fn nanoseconds(time: &Zoned) -> i32 {
    time.subsec_nanosecond()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;

    /// What `mosquitto_sub` has printed at that moment.
    #[test]
    fn conversions_are_those_of_the_c_locale() {
        let time = date(2026, 11, 25)
            .at(15, 21, 44, 457_463_264)
            .to_zoned(TimeZone::UTC)
            .unwrap();
        let all = b"aAbBcCdDeEfFgGhHiIjJkKlLmMnoOpPqQrRsStTuUvVwWxXyYzZ%1+-_^#:";
        let mut out = Vec::new();
        for conversion in all {
            write(*conversion, &time, &mut out);
            out.push(b'|');
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Wed|Wednesday|Nov|November|Wed Nov 25 15:21:44 2026|20|25|11/25/26|25|%E|%f|2026-11-25|26|2026|Nov|15|%i|03|329|%J|15|%K| 3|%L|11|21|\n\
             |%o|%O|PM|pm|%q|%Q|03:21:44 PM|15:21|1795620104|44|\t|15:21:44|3|47|%v|48|3|47|11/25/26|15:21:44|26|2026|+0000|UTC|%|%1|%+|%-|%_|%^|%#|%:|"
        );
    }

    #[test]
    fn days_and_hours_of_one_digit_are_padded() {
        let time = date(2026, 1, 4)
            .at(3, 5, 6, 0)
            .to_zoned(TimeZone::UTC)
            .unwrap();
        let mut out = Vec::new();
        for conversion in b"cdeHIklmjuUVwW" {
            write(*conversion, &time, &mut out);
            out.push(b'|');
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Sun Jan  4 03:05:06 2026|04| 4|03|03| 3| 3|01|004|7|01|01|0|00|"
        );
    }
}
