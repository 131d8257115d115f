package graph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/auth"
)

const (
	codeNotPersisted = "PERSISTED_QUERY_NOT_FOUND"
	codeNotTrusted   = "OPERATION_NOT_TRUSTED"
	// persistedKey is where in a request's extensions a document is named by its hash.
	persistedKey = "persistedQuery"
)

// persisted finds documents that are named by their hash, and keeps browsers that have signed in to those that are known: whoever
// gets hold of such a session can do what the dashboard does, and no more.
type persisted struct {
	known map[string]string // the text by its SHA-256
	open  bool              // sessions may run what is not known
}

var _ graphql.OperationParameterMutator = persisted{}

// ExtensionName implements graphql.HandlerExtension.
func (persisted) ExtensionName() string { return "Persisted" }

// Validate implements graphql.HandlerExtension.
func (persisted) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters implements graphql.OperationParameterMutator.
func (d persisted) MutateOperationParameters(ctx context.Context, p *graphql.RawParams) *gqlerror.Error {
	if named, ok := p.Extensions[persistedKey]; ok {
		fields, _ := named.(map[string]any)
		hash, _ := fields["sha256Hash"].(string)
		switch {
		case hash == "":
			return refusal(codeBadRequest, "extensions.%s in the request must have sha256Hash, a text", persistedKey)
		case p.Query != "" && hashOf(p.Query) != hash:
			return refusal(codeBadRequest, "sha256Hash in the request is not that of its query")
		case p.Query == "":
			if p.Query, ok = d.known[hash]; !ok {
				return refusal(codeNotPersisted, "the server knows no document of this hash: it knows those of its dashboard; send the text")
			}
		}
	}
	if d.open || !auth.InBrowser(ctx) {
		return nil
	}
	if _, ok := d.known[hashOf(p.Query)]; !ok {
		return refusal(codeNotTrusted, "a browser that has signed in may run the operations of this server's dashboard only: reload the page if it is of another version; "+
			"programs send a token as `Authorization: Bearer <token>`")
	}
	return nil
}

// hashOf is how a document is named.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
