use super::*;
use crate::kv::request::Parser;

fn resolved(line: &str) -> Result<&'static str, String> {
    let line = format!("{line}\r\n");
    let mut parser = Parser::new();
    parser.parse(line.as_bytes()).unwrap();
    resolve(parser.args(line.as_bytes()))
        .map(|command| command.name)
        .map_err(|text| String::from_utf8(text).unwrap())
}

#[test]
fn every_command_is_found_in_any_case_and_nothing_else_is() {
    for command in TABLE {
        assert_eq!(find(command.name.as_bytes()).unwrap().name, command.name);
        assert_eq!(find(command.name.to_uppercase().as_bytes()).unwrap().name, command.name);
        for subcommand in command.subcommands {
            let (name, word) = subcommand.name.split_once('|').unwrap();
            assert_eq!(name, command.name);
            assert_eq!(find_subcommand(command, word.as_bytes()).unwrap().name, subcommand.name);
        }
    }
    for name in ["", "g", "gett", "client|list", "\0", "get "] {
        assert!(find(name.as_bytes()).is_none(), "{name:?}");
    }
}

#[test]
fn the_number_of_arguments_is_checked_with_the_full_name() {
    assert_eq!(resolved("GET a"), Ok("get"));
    assert_eq!(resolved("client SetName x"), Ok("client|setname"));
    assert_eq!(resolved("command"), Ok("command"));
    let wrong = |name| Err(format!("wrong number of arguments for '{name}' command"));
    assert_eq!(resolved("get"), wrong("get"));
    assert_eq!(resolved("get a b"), wrong("get"));
    assert_eq!(resolved("mget"), wrong("mget"));
    assert_eq!(resolved("client"), wrong("client"));
    assert_eq!(resolved("client setname"), wrong("client|setname"));
}

#[test]
fn unknown_names_are_said_back_cut_short() {
    let text = "unknown command 'foo', with args beginning with: 'a' 'b' ";
    assert_eq!(resolved("foo a b"), Err(text.into()));
    let text = "unknown command 'foo', with args beginning with: ";
    assert_eq!(resolved("foo"), Err(text.into()));
    let long = "x".repeat(300);
    let text = format!("unknown command 'foo', with args beginning with: '{}' ", &long[..128]);
    assert_eq!(resolved(&format!("foo {long} b")), Err(text));
    let text = "unknown subcommand 'foo'. Try CLIENT HELP.";
    assert_eq!(resolved("client foo"), Err(text.into()));
}

#[test]
fn keys_and_routes_agree() {
    for command in TABLE {
        let agrees = match command.route {
            Route::Key(_) => command.keys == Keys::First,
            Route::Split(..) | Route::Each(..) => matches!(command.keys, Keys::All { .. }),
            _ => command.keys == Keys::None,
        };
        assert!(agrees, "{}", command.name);
        assert_eq!(command.access.is_empty(), command.keys == Keys::None, "{}", command.name);
    }
}
