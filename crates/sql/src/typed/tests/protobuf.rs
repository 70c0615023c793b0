//! Messages of Protobuf. What is read is written by another implementation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, Value};

use super::*;

fn field(name: &str, number: i32, of: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(of.into()),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn repeated(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto {
        label: Some(Label::Repeated.into()),
        ..field
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    }
}

/// `trips.Trip` in proto3.
fn descriptors() -> Vec<u8> {
    let optional = FieldDescriptorProto {
        oneof_index: Some(0),
        proto3_optional: Some(true),
        ..field("maybe", 3, Type::Int32, "")
    };
    let entry = DescriptorProto {
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..message(
            "CountsEntry",
            vec![
                field("key", 1, Type::String, ""),
                field("value", 2, Type::Sint64, ""),
            ],
        )
    };
    let trip = DescriptorProto {
        nested_type: vec![entry],
        oneof_decl: vec![OneofDescriptorProto {
            name: Some("_maybe".to_owned()),
            ..OneofDescriptorProto::default()
        }],
        ..message(
            "Trip",
            vec![
                field("car", 1, Type::String, ""),
                field("n", 2, Type::Int32, ""),
                optional,
                field("km", 4, Type::Double, ""),
                field("big", 5, Type::Uint64, ""),
                field("ok", 6, Type::Bool, ""),
                field("raw", 7, Type::Bytes, ""),
                field("kind", 8, Type::Enum, ".trips.Kind"),
                field("at", 9, Type::Message, ".google.protobuf.Timestamp"),
                repeated(field("stops", 10, Type::Sint32, "")),
                repeated(field("legs", 11, Type::Message, ".trips.Leg")),
                repeated(field(
                    "counts",
                    12,
                    Type::Message,
                    ".trips.Trip.CountsEntry",
                )),
                field("leg", 13, Type::Message, ".trips.Leg"),
                field("fixed", 14, Type::Sfixed64, ""),
                field("share", 15, Type::Float, ""),
            ],
        )
    };
    let leg = message(
        "Leg",
        vec![
            field("from", 1, Type::String, ""),
            field("next", 2, Type::Message, ".trips.Leg"),
        ],
    );
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let kind = EnumDescriptorProto {
        name: Some("Kind".to_owned()),
        value: vec![value("TAXI", 0), value("BUS", 1)],
        ..EnumDescriptorProto::default()
    };
    let times = FileDescriptorProto {
        name: Some("timestamp.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        message_type: vec![message(
            "Timestamp",
            vec![
                field("seconds", 1, Type::Int64, ""),
                field("nanos", 2, Type::Int32, ""),
            ],
        )],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    let trips = FileDescriptorProto {
        name: Some("trips.proto".to_owned()),
        package: Some("trips".to_owned()),
        dependency: vec!["timestamp.proto".to_owned()],
        message_type: vec![trip, leg],
        enum_type: vec![kind],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    let file = vec![times, trips];
    FileDescriptorSet { file }.encode_to_vec()
}

const COLUMNS: &str = "car text; n int; maybe int; km double; big decimal(20,0); ok boolean; raw bytea; kind text; \
     at timestamptz; stops json; legs json; counts json; leg json; fixed bigint; share real";

fn protobuf(columns: &str) -> Contract {
    let descriptors = STANDARD.encode(descriptors());
    contract(
        &format!(r#""format":"protobuf","descriptors":"{descriptors}","message":"trips.Trip""#),
        columns,
    )
}

fn trip() -> Vec<u8> {
    let pool = DescriptorPool::decode(&*descriptors()).unwrap();
    let new = |name: &str| DynamicMessage::new(pool.get_message_by_name(name).unwrap());
    let mut at = new("google.protobuf.Timestamp");
    at.set_field_by_name("seconds", Value::I64(1_700_000_000));
    at.set_field_by_name("nanos", Value::I32(500_000_000));
    let mut last = new("trips.Leg");
    last.set_field_by_name("from", Value::String("Köln".to_owned()));
    let mut leg = new("trips.Leg");
    leg.set_field_by_name("from", Value::String("Ulm".to_owned()));
    leg.set_field_by_name("next", Value::Message(last.clone()));
    let legs = [leg.clone(), last].map(Value::Message);
    let mut trip = new("trips.Trip");
    for (name, value) in [
        ("car", Value::String("a".to_owned())),
        ("n", Value::I32(-7)),
        ("maybe", Value::I32(0)),
        ("km", Value::F64(12.5)),
        ("big", Value::U64(u64::MAX)),
        ("ok", Value::Bool(true)),
        ("raw", Value::Bytes(vec![0, 255].into())),
        ("kind", Value::EnumNumber(1)),
        ("at", Value::Message(at)),
        ("stops", Value::List(vec![Value::I32(-1), Value::I32(300)])),
        ("legs", Value::List(legs.to_vec())),
        (
            "counts",
            Value::Map([(MapKey::String("k".to_owned()), Value::I64(-3))].into()),
        ),
        ("leg", Value::Message(leg)),
        ("fixed", Value::I64(-1)),
        ("share", Value::F32(0.5)),
    ] {
        trip.set_field_by_name(name, value);
    }
    trip.encode_to_vec()
}

#[test]
fn every_field_is_read_as_its_descriptor_says() {
    let whole = concat!(
        r#"a|-7|0|12.5|18446744073709551615|true|00ff|BUS|2023-11-14T22:13:20.500Z|[-1,300]"#,
        r#"|[{"from":"Ulm","next":{"from":"Köln"}},{"from":"Köln"}]|{"k":-3}|{"from":"Ulm","next":{"from":"Köln"}}|-1|0.5|NULL"#
    );
    let value = trip();
    let frame = |indexes: &[u8]| [&[0, 0, 0, 0, 9], indexes, &value].concat();
    // The first message of a schema is written as a zero; any other as a count and its place.
    let values = [&value[..], &frame(&[0]), &frame(&[4, 2, 0])];
    assert_eq!(rows(&protobuf(COLUMNS), &values), [whole; 3]);
}

#[test]
fn what_is_not_written_is_the_default_where_the_schema_cannot_tell() {
    assert_eq!(
        rows(&protobuf(COLUMNS), &[b""]),
        ["|0|NULL|0.0|0|false||TAXI|NULL|[]|[]|{}|NULL|0|0.0|NULL"]
    );
}

#[test]
fn a_message_in_parts_is_one() {
    // `leg` twice: its `from`, and its `next`.
    let parts = [0x6a, 3, 0x0a, 1, b'x', 0x6a, 2, 0x12, 0];
    assert_eq!(
        rows(&protobuf("leg json"), &[&parts]),
        [r#"{"from":"x","next":{}}|NULL"#]
    );
    // A list that is written item by item.
    let items = [0x50, 1, 0x52, 2, 2, 4];
    assert_eq!(rows(&protobuf("stops json"), &[&items]), ["[-1,1,2]|NULL"]);
}

#[test]
fn columns_may_have_other_types_than_fields() {
    let contract = protobuf("kind int; n text; raw text; stops int; leg text; car int; big bigint");
    assert_eq!(
        rows(&contract, &[&trip()]),
        [concat!(
            r#"1|-7|NULL|NULL|{"from":"Ulm","next":{"from":"Köln"}}|NULL|NULL|raw: bytes that are no UTF-8; stops: a list or "#,
            r#"map is no int; car: "a" is no int; big: "18446744073709551615" is out of range for bigint"#
        )]
    );
}

#[test]
fn what_is_no_message_is_null_in_every_column() {
    let contract = protobuf("n int; legs json");
    let value = trip();
    for value in [
        &value[..value.len() - 1],
        b"\x0f",
        b"\x10",
        b"\x12\x01x",
        b"\0\0\0\0\x01\x02",
        b"\x0b",
    ] {
        let row = rows(&contract, &[value]).remove(0);
        assert!(
            row.starts_with("NULL|NULL|no message of Protobuf at byte"),
            "{value:?} {row}"
        );
    }
    let mut deep = Vec::new();
    for _level in 0..200 {
        let mut outer = vec![0x12];
        let mut length = deep.len();
        while length >= 0x80 {
            outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend(&deep);
        deep = outer;
    }
    deep[0] = 0x6a;
    let row = rows(&protobuf("leg json"), &[&deep]).remove(0);
    assert!(row.ends_with("nested too deeply"), "{row}");
}

#[test]
fn a_descriptor_that_does_not_fit_is_told_of() {
    let fault = |contract: Contract| Compiled::new(contract).unwrap_err().to_string();
    assert_eq!(
        fault(protobuf("cra int")),
        "the contract cannot be used: message trips.Trip has no field \"cra\"; did you mean \"car\"?"
    );
    let contract = protobuf("car text").to_string();
    let other = contract.replace("trips.Trip", "trips.Tripp");
    assert_eq!(
        fault(Contract::parse(&other).unwrap()),
        "the contract cannot be used: there is no message \"trips.Tripp\"; did you mean \"trips.Trip\"?"
    );
    let broken = STANDARD.encode(&descriptors()[..20]);
    let broken = contract.replace(&STANDARD.encode(descriptors()), &broken);
    assert!(fault(Contract::parse(&broken).unwrap()).starts_with("the contract cannot be used: "));
}

proptest! {
    #[test]
    fn no_message_is_a_panic(
        mut value in prop_oneof![proptest::collection::vec(any::<u8>(), 0..80), Just(trip())],
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        if !value.is_empty() {
            for (at, byte) in flips {
                let at = at.index(value.len());
                value[at] = byte;
            }
        }
        rows(&protobuf(COLUMNS), &[&value]);
        rows(&protobuf("at json; car json; raw json; legs text"), &[&value]);
    }
}
