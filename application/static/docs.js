const docs = document.getElementById("docs");
const token = document.querySelector("meta[name=csrf-token]")?.content;

SwaggerUIBundle({
  domNode: docs,
  url: docs.dataset.openapi,
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (token) request.headers["X-CSRF-Token"] = token;
    return request;
  },
});
