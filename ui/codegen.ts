import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../graph/schema/*.graphqls",
  documents: "src/api/operations.graphql",
  generates: {
    "src/api/gql/": {
      preset: "client",
      // The server embeds the list of documents, and runs no others for a browser's session.
      presetConfig: { fragmentMasking: false, persistedDocuments: { hashAlgorithm: "sha256" } },
      config: {
        documentMode: "string",
        useTypeImports: true,
        enumsAsTypes: true,
        strictScalars: true,
        scalars: { DateTime: "string", Long: "string", JSON: "unknown" },
      },
    },
  },
};

export default config;
