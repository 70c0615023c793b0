//! Data of Avro. What is read was written by another implementation.

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"ride","namespace":"a.b","fields":[
    {"name":"ok","type":"boolean"},
    {"name":"n","type":"int"},
    {"name":"big","type":["null","long"]},
    {"name":"share","type":"float"},
    {"name":"km","type":"double"},
    {"name":"car","type":"string"},
    {"name":"raw","type":"bytes"},
    {"name":"id","type":{"type":"fixed","name":"two","size":2}},
    {"name":"kind","type":{"type":"enum","name":"kind","symbols":["TAXI","BUS"]}},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"local","type":{"type":"long","logicalType":"local-timestamp-micros"}},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"counts","type":{"type":"map","values":["null","int"]}},
    {"name":"inner","type":{"type":"record","name":"inner","fields":[
        {"name":"x","type":"double"},{"name":"next","type":["null","inner"]},{"name":"b","type":"kind"}]}},
    {"name":"other","type":["null","string","int"]}]}"#;

/// The contract with the columns of its schema, or these.
fn avro(columns: &str) -> Contract {
    if columns.is_empty() {
        return Contract::parse(&format!(r#"{{"format":"avro","schema":{SCHEMA}}}"#)).unwrap();
    }
    contract(&format!(r#""format":"avro","schema":{SCHEMA}"#), columns)
}

/// A ride, as fastavro 1.13.1 writes it with this schema: `ok` true, `n` -7, `big` -2^63, `share` 0.5, `km` 12.5, `car` größe,
/// `price` -2.00, `day` 2013-01-31, `at` 1700000000500, `local` 1700000000000001, `inner` with an `inner` whose `x` is NaN.
const RIDE: &str = concat!(
    "010d02ffffffffffffffffff010000003f00000000000029400e6772c3b6c39f650400ff01020204ff38f0f501e8a7abfef9628280f281838985",
    "06040261062262220002026b020600000000000000f83f02000000000000f87f000000040a"
);

fn ride() -> Vec<u8> {
    let digits = RIDE.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn framed(datum: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 9], datum].concat()
}

#[test]
fn every_field_is_read_as_its_schema_says() {
    let whole = concat!(
        r#"true|-7|-9223372036854775808|0.5|12.5|größe|00ff|0102|BUS|-2.00|2013-01-31|2023-11-14T22:13:20.500Z"#,
        r#"|2023-11-14T22:13:20.000001|["a","\"b\""]|{"k":3}"#,
        r#"|{"x":1.5,"next":{"x":"NaN","next":null,"b":"TAXI"},"b":"TAXI"}|5|NULL"#
    );
    let datum = ride();
    assert_eq!(rows(&avro(""), &[&datum, &framed(&datum)]), [whole, whole]);
}

#[test]
fn columns_may_have_other_types_than_fields() {
    let contract = avro(
        "car text; n bigint; big decimal(38,0); share double; at bigint; day text; tags text; price double",
    );
    assert_eq!(
        rows(&contract, &[&ride()]),
        [r#"größe|-7|-9223372036854775808|0.5|1700000000500|2013-01-31|["a","\"b\""]|-2.0|NULL"#]
    );
    let contract = avro("n int; other text");
    let datum = ride();
    for value in [
        &datum[..datum.len() - 1],
        &[],
        &[&datum[..], &[0]].concat(),
        &framed(&datum)[..9],
    ] {
        let row = rows(&contract, &[value]).remove(0);
        assert!(
            row.starts_with("NULL|NULL|no datum of the Avro schema at byte"),
            "{row}"
        );
    }
}

#[test]
fn items_without_bytes_are_counted() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#;
    let contract = contract(&format!(r#""format":"avro","schema":{schema}"#), "a json");
    assert_eq!(rows(&contract, &[&[6, 0]]), ["[null,null,null]|NULL"]);
    // 2^62 of them.
    let many = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0];
    for columns in [vec![0], vec![]] {
        let row = rows_of(&selected(contract.clone(), columns, true), &[&many]).remove(0);
        assert!(row.ends_with("more items than there are bytes"), "{row}");
    }
}

#[test]
fn a_schema_that_is_none_is_told_of() {
    let text = r#"{"format":"avro","schema":{"type":"record","name":"r","fields":[{"name":"a","type":"number"}]},
        "columns":[{"name":"a","type":"int"}]}"#;
    let fault = Compiled::new(Contract::parse(text).unwrap()).unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("the contract cannot be used: "),
        "{fault}"
    );
}

proptest! {
    #[test]
    fn no_datum_is_a_panic(
        mut value in prop_oneof![proptest::collection::vec(any::<u8>(), 0..80), Just(ride())],
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        if !value.is_empty() {
            for (at, byte) in flips {
                let at = at.index(value.len());
                value[at] = byte;
            }
        }
        rows(&avro(""), &[&value]);
        rows(&avro("other json; tags json; inner text"), &[&value]);
    }
}
