use std::str::FromStr as _;
use std::sync::Arc;

use datafusion::arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray, NullArray, StringArray,
    StringViewArray, StructArray, Time64NanosecondArray, TimestampMillisecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{Field, Int32Type, IntervalMonthDayNano};

use super::*;

fn put_all(array: ArrayRef, format: Format, zone: &str) -> Vec<Option<Vec<u8>>> {
    let schema = Schema::new(vec![Field::new("a", array.data_type().clone(), true)]);
    let columns = columns(&schema);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
    let rows = Rows::new(&batch, &columns).unwrap();
    let style = Style {
        zone: Tz::from_str(zone).unwrap(),
    };
    let values = (0..rows.count).map(|row| {
        let mut output = BytesMut::new();
        rows.put(row, 0, format, style, &mut output);
        let (length, value) = output.split_first_chunk::<4>().unwrap();
        match i32::from_be_bytes(*length) {
            -1 => None,
            length => {
                assert_eq!(usize::try_from(length).unwrap(), value.len());
                Some(value.to_vec())
            }
        }
    });
    values.collect()
}

/// The texts of the values; NULL is "NULL".
#[track_caller]
fn check_text(array: impl Array + 'static, expected: &[&str]) {
    check_text_in("UTC", array, expected);
}

#[track_caller]
fn check_text_in(zone: &str, array: impl Array + 'static, expected: &[&str]) {
    let texts = put_all(Arc::new(array), Format::Text, zone).into_iter();
    let texts = texts.map(|text| {
        text.map_or_else(
            || "NULL".to_owned(),
            |text| String::from_utf8(text).unwrap(),
        )
    });
    assert_eq!(texts.collect::<Vec<_>>(), expected);
}

#[track_caller]
fn check_binary(array: impl Array + 'static, expected: &[u8]) {
    let values = put_all(Arc::new(array), Format::Binary, "UTC");
    assert_eq!(values, [Some(expected.to_vec())]);
}

#[test]
fn booleans_and_integers() {
    check_text(
        BooleanArray::from(vec![Some(true), None, Some(false)]),
        &["t", "NULL", "f"],
    );
    check_text(
        Int64Array::from(vec![i64::MIN, 0]),
        &["-9223372036854775808", "0"],
    );
    check_text(UInt64Array::from(vec![u64::MAX]), &["18446744073709551615"]);
    check_binary(BooleanArray::from(vec![true]), &[1]);
    check_binary(Int64Array::from(vec![-2]), &(-2_i64).to_be_bytes());
}

#[test]
fn floats_as_postgresql_lays_them_out() {
    let values = vec![
        0.1,
        1.0,
        -0.0,
        1e15,
        123_456_789_012_345.0,
        1e-4,
        1e-5,
        1.5e300,
        f64::NAN,
        f64::NEG_INFINITY,
    ];
    let texts = [
        "0.1",
        "1",
        "-0",
        "1e+15",
        "123456789012345",
        "0.0001",
        "1e-05",
        "1.5e+300",
        "NaN",
        "-Infinity",
    ];
    check_text(Float64Array::from(values), &texts);
    check_text(
        Float32Array::from(vec![0.1, 1e6, 123_456.0, 1.25]),
        &["0.1", "1e+06", "123456", "1.25"],
    );
}

#[test]
fn numerics() {
    let decimals = |values: Vec<i128>, scale| {
        Decimal128Array::from(values)
            .with_precision_and_scale(38, scale)
            .unwrap()
    };
    check_text(
        decimals(vec![12345, -5, 0], 3),
        &["12.345", "-0.005", "0.000"],
    );
    check_text(decimals(vec![12], -2), &["1200"]);
    // 12345.678: groups 1, 2345, 6780; weight 1.
    check_binary(
        decimals(vec![12_345_678], 3),
        &[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c],
    );
    // -0.0001: one group, weight -1.
    check_binary(
        decimals(vec![-1], 4),
        &[0, 1, 0xff, 0xff, 0x40, 0, 0, 4, 0, 1],
    );
    check_binary(decimals(vec![0], 2), &[0, 0, 0, 0, 0, 0, 0, 2]);
    // 100000000: one group of weight 2, zeros are left out.
    check_binary(
        decimals(vec![100_000_000], 0),
        &[0, 1, 0, 2, 0, 0, 0, 0, 0, 1],
    );
}

#[test]
fn strings_and_bytes() {
    check_text(
        StringViewArray::from(vec![Some("größe"), Some(""), None]),
        &["größe", "", "NULL"],
    );
    check_text(StringArray::from(vec!["a\0b"]), &["ab"]);
    check_text(BinaryArray::from(vec![&b"\0\xffa"[..]]), &["\\x00ff61"]);
    check_binary(BinaryArray::from(vec![&b"\0\xff"[..]]), &[0, 255]);
    check_text(NullArray::new(2), &["NULL", "NULL"]);
    let dictionary: DictionaryArray<Int32Type> =
        vec![Some("a"), None, Some("a")].into_iter().collect();
    check_text(dictionary, &["a", "NULL", "a"]);
}

#[test]
fn dates_and_times() {
    let days = vec![0, 11_016, -719_163, 2_932_896, -1];
    check_text(
        Date32Array::from(days),
        &[
            "1970-01-01",
            "2000-02-29",
            "0001-12-31 BC",
            "9999-12-31",
            "1969-12-31",
        ],
    );
    check_binary(Date32Array::from(vec![10_958]), &1_i32.to_be_bytes());
    check_text(
        Time64NanosecondArray::from(vec![3_723_004_500_000]),
        &["01:02:03.0045"],
    );
}

#[test]
fn timestamps_with_a_zone_are_shown_in_that_of_the_session() {
    let plain = TimestampMillisecondArray::from(vec![1_700_000_000_123, -1]);
    check_text_in(
        "Europe/Berlin",
        plain,
        &["2023-11-14 22:13:20.123", "1969-12-31 23:59:59.999"],
    );
    let moments = || {
        TimestampMillisecondArray::from(vec![1_700_000_000_000, 1_690_000_000_000])
            .with_timezone("UTC")
    };
    check_text_in(
        "Europe/Berlin",
        moments(),
        &["2023-11-14 23:13:20+01", "2023-07-22 06:26:40+02"],
    );
    check_text_in(
        "+05:30",
        moments(),
        &["2023-11-15 03:43:20+05:30", "2023-07-22 09:56:40+05:30"],
    );
    let epoch = TimestampMillisecondArray::from(vec![946_684_800_001]).with_timezone("UTC");
    check_binary(epoch, &1000_i64.to_be_bytes());
}

#[test]
fn intervals() {
    let intervals = [
        (14, 3, 14_706_789_000_000),
        (0, -1, 7_384_000_000_000),
        (-1, 0, 0),
        (0, 0, 0),
        (0, 0, -1_000_000),
    ];
    let intervals = intervals.map(|(months, days, ns)| IntervalMonthDayNano::new(months, days, ns));
    let texts = [
        "1 year 2 mons 3 days 04:05:06.789",
        "-1 days +02:03:04",
        "-1 mons",
        "00:00:00",
        "-00:00:00.001",
    ];
    check_text(IntervalMonthDayNanoArray::from(intervals.to_vec()), &texts);
}

#[test]
fn arrays() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        Some(vec![]),
    ]);
    check_text(lists, &["{1,NULL}", "{}"]);
    let one = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(7)])]);
    check_binary(
        one,
        &[
            0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7,
        ],
    );
    let mut texts =
        datafusion::arrow::array::ListBuilder::new(datafusion::arrow::array::StringBuilder::new());
    texts.append_value(["a", "b c", "", "null", "q\"\\"].map(Some));
    check_text(texts.finish(), &[r#"{a,"b c","","null","q\"\\"}"#]);
}

#[test]
fn trees_are_json() {
    let field = Arc::new(Field::new("x", DataType::Int64, true));
    let tree = StructArray::from(vec![(
        field,
        Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
    )]);
    check_text(tree, &[r#"{"x":1}"#, r#"{"x":null}"#]);
}
