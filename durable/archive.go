package durable

import (
	"context"
	"io"

	"github.com/weir-dev/weir/engine"
)

// ArchiveTarget is where files of archived instances go. Put stores what write writes under a name: when it returns without
// an error, the file is safely there as a whole; otherwise there is none of that name.
type ArchiveTarget = engine.Target

// Archived is what Archive has done: how many instances are in files, and how many of those were purged, or stay because
// something became of them after they were read.
type Archived = engine.Archived

// Imported is what Import has done.
type Imported = engine.Imported

// Export writes instances of the hub that have ended to a file: gzip, a line of JSON for each, with its history, values, tags
// and progress. It returns how many. Encrypted values stay so. Errors: ErrInvalid.
func (c *Client) Export(ctx context.Context, f Filter, to io.Writer) (int64, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return 0, err
	}
	filter, err := f.engine()
	if err != nil {
		return 0, err
	}
	done, err := e.Export(ctx, c.hub, filter, to)
	return done.Instances, err
}

// Import adds the instances of an exported file to the hub, each in a commit of its own. An id that exists ends it with
// ErrExists, or is skipped, as skipExisting says. Errors: ErrInvalid, which names the line.
func (c *Client) Import(ctx context.Context, from io.Reader, skipExisting bool) (Imported, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return Imported{}, err
	}
	policy := engine.RefuseExisting
	if skipExisting {
		policy = engine.SkipExisting
	}
	return e.Import(ctx, c.hub, from, policy, nil)
}

// Archive moves instances that have ended to files of at most perFile instances, 0 means 10,000: each file is written, and
// when the target has it safely, those of its instances are purged that have not changed since. Errors: ErrInvalid, and those
// of the target, after which nothing is purged that is not in a file.
func (c *Client) Archive(ctx context.Context, f Filter, to ArchiveTarget, perFile int) (Archived, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return Archived{}, err
	}
	filter, err := f.engine()
	if err != nil {
		return Archived{}, err
	}
	return e.Archive(ctx, engine.ArchiveRequest{Hub: c.hub, Filter: filter, To: to, PerFile: perFile})
}
