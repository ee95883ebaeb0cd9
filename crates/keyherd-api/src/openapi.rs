//! The description of this door: what is not said at each route.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathItemBuilder,
    PathsBuilder,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::problem::{Code, ProblemView};

const BEARER: &str = "bearer";

const ABOUT: &str = "An OAuth credential broker: however many ask, it happens once.\n\n\
    A path that is not described here answers 404 `not_found`; a method that a path does not have, 405 `method_not_allowed`, \
    with the ones that it has in `Allow`.\n\n\
    People have a dashboard at `/`, with sessions of its own below `/ui/`, which are no part of this description.";

const GATEWAY: &str = "/gateway/{name}/{path}";

const GATEWAY_SUMMARY: &str = "To the upstream of the name's binding";

const GATEWAY_ABOUT: &str = "With the name's credential in place of the caller's key, which may stand in `x-api-key` too. Of any \
    method, and `path` is all that follows, slashes and query with it. What goes there and what comes back is upstream's to \
    describe; a problem of keyherd's own is `application/problem+json`. Where a rule asks a human, the request is held with \
    nothing sent; then 403 `denied` or `approval_timeout`, or it goes on.";

/// The methods that OpenAPI has a place for, with the name of the operation.
const GATEWAY_METHODS: [(HttpMethod, &str); 7] = [
    (HttpMethod::Get, "gatewayGet"),
    (HttpMethod::Head, "gatewayHead"),
    (HttpMethod::Post, "gatewayPost"),
    (HttpMethod::Put, "gatewayPut"),
    (HttpMethod::Patch, "gatewayPatch"),
    (HttpMethod::Delete, "gatewayDelete"),
    (HttpMethod::Options, "gatewayOptions"),
];

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
        .paths(PathsBuilder::new().path(GATEWAY, gateway()).build())
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]))
        .build()
}

/// The gateway stands before the routes, and describes itself nowhere else.
fn gateway() -> PathItem {
    let mut item = PathItemBuilder::new();
    for (method, id) in GATEWAY_METHODS {
        let problems = by_status(COMMON.into_iter().chain(ENGINE).chain([Code::ApprovalTimeout]));
        let upstream = ResponseBuilder::new().description("What upstream answers").build();
        let operation = OperationBuilder::new()
            .operation_id(Some(id))
            .tag("gateway")
            .summary(Some(GATEWAY_SUMMARY))
            .description(Some(GATEWAY_ABOUT))
            .parameter(place("name", "The credential or pool"))
            .parameter(place("path", "The path at the upstream"))
            .response("default", upstream);
        let operation = problems
            .into_iter()
            .fold(operation, |operation, (status, problem)| operation.response(status, problem));
        item = item.operation(method, operation.build());
    }
    item.build()
}

fn place(name: &str, about: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
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
