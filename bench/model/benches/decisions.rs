//! Decisions a second, without evidence (`outcomes`) and with it (`decide_parts`).
//!
//! ```text
//! cargo bench --manifest-path bench/model/Cargo.toml
//! ```

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model_bench::{FREE, bind, host, user, with_listeners};
use portwise_model::{
    Family, Host, KernelFamily, Request, SockAddr, Subject, Version, decide_parts, outcomes,
};

fn linux() -> Host {
    host(KernelFamily::Linux, Version::new(6, 18, 0), "linux-6.18")
}

fn decided(host: &Host, subject: &Subject, request: &Request) -> usize {
    outcomes(black_box(host), black_box(subject), black_box(request), |_, _| {}).len()
}

/// What one question costs.
fn questions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("question");
    group.throughput(Throughput::Elements(1));
    let macos = host(KernelFamily::Xnu, Version::new(10, 14, 2), "macos-10.14.2");
    let low = bind(Family::Inet, SockAddr::v4(Ipv4Addr::LOCALHOST, 80));
    let free = bind(Family::Inet, SockAddr::v4(Ipv4Addr::LOCALHOST, FREE));
    let six = bind(Family::Inet6, SockAddr::v6(Ipv6Addr::UNSPECIFIED, FREE, 0));
    let (linux, subject) = (linux(), user());
    for (name, host, request) in [
        ("linux 127.0.0.1:80", &linux, &low),
        ("linux 127.0.0.1:8080", &linux, &free),
        ("linux [::]:8080", &linux, &six),
        ("macos 127.0.0.1:80", &macos, &low),
        ("macos [::]:8080", &macos, &six),
    ] {
        group.bench_function(name, |b| b.iter(|| decided(host, &subject, request)));
    }
    group.bench_function("linux 127.0.0.1:8080 with evidence", |b| {
        b.iter(|| decide_parts(black_box(&linux), black_box(&subject), black_box(&free)));
    });
    group.finish();
}

/// The cost must grow with the sockets on the port, not with those of the host.
fn sockets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sockets");
    group.throughput(Throughput::Elements(1));
    let request = bind(Family::Inet, SockAddr::v4(Ipv4Addr::LOCALHOST, FREE));
    let subject = user();
    for count in [0, 100, 10_000, 100_000] {
        let host = with_listeners(linux(), count, false);
        group.bench_function(BenchmarkId::new("elsewhere", count), |b| {
            b.iter(|| decided(&host, &subject, &request));
        });
    }
    for count in [1, 10, 100] {
        let host = with_listeners(linux(), count, true);
        group.bench_function(BenchmarkId::new("on the port", count), |b| {
            b.iter(|| decided(&host, &subject, &request));
        });
    }
    group.finish();
}

criterion_group!(benches, questions, sockets);
criterion_main!(benches);
