//! A development server that says why it cannot listen, instead of "Permission denied" alone.
//!
//!     cargo run -p portwise --example dev_server -- 127.0.0.1:80

use std::{
    env,
    io::{self, Write},
    net::TcpListener,
    process::ExitCode,
};

use portwise::{Request, SocketSettings, why};

fn main() -> ExitCode {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    match TcpListener::bind(&address) {
        Ok(listener) => serve(&listener),
        Err(error) => {
            eprintln!("cannot listen on {address}: {error}\n");
            // Rust's listener sets SO_REUSEADDR.
            let settings = SocketSettings { reuseaddr: true, ..SocketSettings::default() };
            match Request::bind(&address).and_then(|request| why(&request.with(settings))) {
                Ok(report) => eprintln!("{report}"),
                // An explanation is an extra: without one the error stands alone.
                Err(trouble) => eprintln!("{trouble}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(listener: &TcpListener) -> ExitCode {
    if let Ok(address) = listener.local_addr() {
        println!("http://{address}/");
    }
    for mut client in listener.incoming().flatten() {
        let _: io::Result<()> = client.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello\n");
    }
    ExitCode::SUCCESS
}
