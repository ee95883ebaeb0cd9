//! The description of this door: what is not said at each route.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::problem::{Code, ProblemView};

const BEARER: &str = "bearer";

const ABOUT: &str = "An OAuth credential broker: however many ask, it happens once.\n\n\
    Requests of any method to `/gateway/{name}/{path}` go to the upstream of that name's binding, with its credential in \
    place of the caller's key, which may then stand in `x-api-key` too. What they take and answer is upstream's to describe. \
    Where a rule asks a human, a request is held with nothing sent; then 403 `denied` or `approval_timeout`, or it goes on.\n\n\
    People have a dashboard at `/`, with sessions of its own below `/ui/`, which are no part of this description.";

/// Info, security, and the schemas that every route shares.
pub(crate) fn base() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The admin token: the file `admin.token` of the server's data folder. An agent's key opens few routes only"))
        .build();
    let components = ComponentsBuilder::new()
        .schema(ProblemView::name(), ProblemView::schema())
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("keyherd")
                .version(crate::VERSION)
                .description(Some(ABOUT))
                .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
                .build(),
        )
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]))
        .build()
}

/// Problems that any route behind a bearer may answer with.
pub(crate) struct Problems;

/// Those, and the ones of asking for a token.
pub(crate) struct EngineProblems;

const COMMON: [Code; 13] = [
    Code::InvalidRequest,
    Code::Unauthorized,
    Code::Denied,
    Code::NotFound,
    Code::RequestTimeout,
    Code::Conflict,
    Code::InUse,
    Code::TooLarge,
    Code::Misdirected,
    Code::Internal,
    Code::StoreUnavailable,
    Code::Busy,
    Code::Timeout,
];

const ENGINE: [Code; 5] =
    [Code::ReauthRequired, Code::Cooling, Code::ProviderUnavailable, Code::ProviderBlocked, Code::Uncertain];

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        by_status(COMMON)
    }
}

impl IntoResponses for EngineProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        by_status(COMMON.into_iter().chain(ENGINE))
    }
}

fn by_status(codes: impl IntoIterator<Item = Code>) -> BTreeMap<String, RefOr<Response>> {
    let mut words: BTreeMap<StatusCode, Vec<&str>> = BTreeMap::new();
    for (word, status) in codes.into_iter().map(Code::parts) {
        words.entry(status).or_default().push(word);
    }
    words
        .into_iter()
        .map(|(status, words)| (status.as_str().to_owned(), problem(status, &words).into()))
        .collect()
}

fn problem(status: StatusCode, words: &[&str]) -> Response {
    let schema = Ref::from_schema_name(ProblemView::name());
    let mut response = ResponseBuilder::new()
        .description(format!("`code`: {}", words.join(", ")))
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build());
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    ) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let header =
            HeaderBuilder::new().schema(Some(seconds)).description(Some("Whole seconds, where it is known"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}
