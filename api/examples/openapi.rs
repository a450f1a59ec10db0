//! Prints the OpenAPI document: `make openapi` writes it to `api/openapi.json`.

fn main() {
    print!("{}", api::openapi_text());
}
