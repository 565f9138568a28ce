//! One call made for real, to confirm what the rules say.

use portwise_model::{Call, Request};
use portwise_sys::Errno;

use super::trial::bind::{address, configure, create};

/// Makes the socket of `request`, binds it and closes it at once. It does not listen, so nobody
/// can connect meanwhile.
///
/// # Errors
/// Those of socket(2), setsockopt(2) and bind(2).
pub fn bind_once(request: &Request) -> Result<(), Errno> {
    let Call::Bind(addr) = request.call else { return Ok(()) };
    let socket = create(request.socket.family, request.socket.protocol)?;
    configure(&socket, &request.socket)?;
    socket.bind(&address(&addr))
}
