//! What a table as a whole may and may not say.

use super::*;
use crate::greeting;

fn draft(routes: &[&str]) -> Draft {
    let routes = routes.iter().enumerate();
    let route =
        |(i, text): (usize, &&str)| (Route::parse(text).unwrap(), format!("--route number {}", i + 1));
    Draft { routes: routes.map(route).collect(), ..Draft::default() }
}

fn error(draft: Draft) -> String {
    match draft.plan(&Environment::default()) {
        Err(Error::Usage(message)) => message,
        other => panic!("expected a usage error, got {other:?}"),
    }
}

fn with_port(port: &str) -> Environment {
    Environment { port: Some(port.to_owned()), is_cloud_run: false }
}

#[test]
fn routes_that_can_not_be_reached() {
    assert!(error(draft(&[])).starts_with("no route"));
    assert_eq!(
        error(draft(&["grpc=a:1", "any=b:1", "ssh=c:1"])),
        "--route number 3: `ssh` can never be reached: `any` (--route number 2) stands before it and takes everything"
    );
    assert!(error(draft(&["http2=a:1", "grpc=b:1"])).contains("takes all of it"));
    assert_eq!(
        error(draft(&["grpc=a:1", "tls,host:a.example=b:1"])),
        "--route number 2: `tls,host:a.example` can never be reached: nothing is both `tls` and `host:a.example`; the name in a \
         ClientHello is `sni:a.example`"
    );
    assert!(error(draft(&["grpc=a:1", "grpc=b:1"])).contains("is the same"));
    let backend = || Backend::parse("a:1").ok();
    let behind_any = Draft { otherwise: backend(), ..draft(&["grpc=a:1", "any=b:1"]) };
    assert!(error(behind_any).contains("`otherwise` can never be reached"));
    let at_once = Draft { on_timeout: backend(), ..draft(&["any=b:1"]) };
    assert!(error(at_once).contains("`on-timeout` can never be reached"));
    let at_once = Draft {
        otherwise: backend(),
        server_first: backend().map(|backend| (backend, Duration::from_secs(1))),
        ..draft(&[])
    };
    assert!(error(at_once).contains("`server-first` can never be reached"));
}

#[test]
fn server_first_leaves_time_to_speak() {
    let backend = Backend::parse("a:1").unwrap();
    let hasty = Draft { server_first: Some((backend, Duration::ZERO)), ..draft(&["grpc=a:1"]) };
    assert!(error(hasty).contains("needs a delay"));
}

#[test]
fn a_table_that_makes_sense() {
    let backend = Backend::parse("a:1").ok();
    let draft = Draft {
        on_timeout: backend.clone(),
        otherwise: backend.clone(),
        ..draft(&["grpc=a:1", "http2=b:1", "ssh=close"])
    };
    let plan = draft.plan(&with_port("8080")).unwrap();
    let names: Vec<_> = plan.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["grpc", "http2", "ssh"]);
    assert_eq!(plan.drain, Duration::from_secs(8));
    assert_eq!(plan.warnings, Vec::<String>::new());
    let shown: Vec<_> = plan.listeners.iter().map(|l| (l.address.to_string(), l.is_required)).collect();
    assert_eq!(shown, [("0.0.0.0:8080".to_owned(), true), ("[::]:8080".to_owned(), false)]);
    let only = Draft { otherwise: backend, ..Draft::default() };
    assert!(only.plan(&Environment::default()).is_ok());
}

#[test]
fn where_to_listen() {
    let silent = draft(&["any=a:1"]).plan(&Environment::default()).unwrap();
    assert!(silent.must_listen().unwrap_err().to_string().contains("PORT"));
    for port in ["", "x", "0", "+80", "65536", "80 "] {
        let message = draft(&["any=a:1"]).plan(&with_port(port)).unwrap_err().to_string();
        assert!(message.contains(&format!("PORT is `{port}`")), "{message}");
    }
    let listen = |text: &str| Address::parse_listen(text).unwrap();
    let twice = Draft { listen: vec![listen("a:1"), listen("a:1")], ..draft(&["any=a:1"]) };
    assert!(error(twice).contains("`a:1` is listened on twice"));
    let system = Draft { listen: vec![listen("[::1]:0"), listen("[::1]:0")], ..draft(&["any=a:1"]) };
    assert_eq!(system.plan(&with_port("x")).unwrap().listeners.len(), 2);
}

#[test]
fn warnings() {
    let long = format!("prefix:{}=a:1", "x".repeat(4097));
    let cloud_run = Environment { port: None, is_cloud_run: true };
    let plan = draft(&["path:/x=a:1", &long, "!method:GET=a:1", "grpc=a:1"]).plan(&cloud_run).unwrap();
    let expected = ["`path:/x` looks at", "never matches", "`!method:GET` looks at", "K_SERVICE is set"];
    assert_eq!(plan.warnings.len(), expected.len(), "{:?}", plan.warnings);
    for (warning, part) in plan.warnings.iter().zip(expected) {
        assert!(warning.contains(part), "{warning}");
    }
}

#[test]
fn per_request_needs_no_warning() {
    let environment = Environment { is_cloud_run: true, ..Environment::default() };
    let table = ["host:a.example=a:1", "any=a:2"];
    let warned = draft(&table).plan(&environment).unwrap();
    assert_eq!(warned.warnings.len(), 2, "{:?}", warned.warnings);
    let plan = Draft { per_request: true, ..draft(&table) }.plan(&environment).unwrap();
    assert!(plan.per_request);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn what_has_no_effect_with_per_request_is_said() {
    let warnings = |per_request: bool, greeting: &str, patience: u64| {
        let mut draft = Draft { per_request, ..draft(&["any=a:1"]) };
        draft.limits.mux.greeting = greeting::parse(greeting).unwrap();
        draft.limits.mux.settings_patience = Duration::from_millis(patience);
        draft.plan(&Environment::default()).unwrap().warnings
    };
    for (greeting, patience, expected) in [
        ("max-concurrent-streams=100", 5, &[][..]),
        ("enable-connect-protocol=1", 5, &[]),
        ("max-concurrent-streams=7", 5, &["only `enable-connect-protocol`"]),
        ("max-frame-size=16384", 0, &["only `enable-connect-protocol`", "--settings-patience"]),
    ] {
        let said = warnings(true, greeting, patience);
        assert_eq!(said.len(), expected.len(), "{greeting:?}: {said:?}");
        assert!(said.iter().zip(expected).all(|(said, part)| said.contains(part)), "{greeting:?}: {said:?}");
        assert_eq!(warnings(false, greeting, patience), Vec::<String>::new());
    }
}
