//! What is answered to a request.

use bytes::Bytes;
use corelane_shards::Shard;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::metrics;

/// A body that is here, or one that is passed on as it comes.
type Body = Either<Full<Bytes>, Incoming>;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// Answers one request.
///
/// # Errors
/// When the metrics of a shard cannot be had any more: the server is ending.
pub(super) async fn answer(
    shard: &Shard,
    request: Request<Incoming>,
) -> corelane::Result<Response<Body>> {
    metrics::count_request();
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => whole(StatusCode::OK, PLAIN, "Hello, world!\n"),
        (&Method::POST | &Method::PUT, "/echo") => {
            Response::new(Either::Right(request.into_body()))
        }
        (&Method::GET | &Method::HEAD, "/metrics") => {
            whole(StatusCode::OK, PROMETHEUS, metrics::text(shard).await?)
        }
        (_, "/" | "/echo" | "/metrics") => {
            whole(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "not allowed here\n")
        }
        _ => whole(StatusCode::NOT_FOUND, PLAIN, "nothing here\n"),
    };
    Ok(response)
}

fn whole(status: StatusCode, kind: HeaderValue, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
