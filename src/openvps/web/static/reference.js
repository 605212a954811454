// The interactive reference: Swagger UI on our own document. A token that is typed in stays in this tab.
const place = document.getElementById("reference");
SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: false,
  validatorUrl: null,
  withCredentials: false,
  syntaxHighlight: { activated: true },
});
