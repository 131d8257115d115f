package engine

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Target is where files of archived instances go.
type Target interface {
	// Put stores what write writes under a name. When it returns without an error, the file is safely there as a whole;
	// otherwise there is none of that name.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
}

// ArchiveRequest says which instances to archive, and where.
type ArchiveRequest struct {
	Hub string
	// Filter selects instances; only such as have ended are archived.
	Filter Filter
	To     Target
	// PerFile is how many instances a file has at most, 1 to 1,000,000; 0 means 10,000.
	PerFile int
	// Tell, if set, hears how far it is.
	Tell func(Archived)
}

// Archived is what an archiving has done.
type Archived struct {
	Exported
	// Purged counts instances that are in files and no longer in the database; Changed those that are in a file and stay,
	// because something became of them after they were read: a rewind, a restart, other tags.
	Purged, Changed int64
	// Files are the names of the files, in their order.
	Files []string
}

const (
	defaultPerFile = 10_000
	maxPerFile     = 1_000_000
)

// Archive moves instances that have ended out of the database: file by file it writes them, as Export does, and when the
// target has a file safely, purges those of its instances that have not changed since. When it fails or ends in between, what
// is not purged is there, and archiving again writes it to another file. Children are selected, and go, by themselves.
// Errors: INVALID_ARGUMENT, NOT_FOUND (hub), and those of the target.
func (e *Engine) Archive(ctx context.Context, r ArchiveRequest) (Archived, error) {
	var done Archived
	if r.PerFile == 0 {
		r.PerFile = defaultPerFile
	}
	if r.PerFile < 1 || r.PerFile > maxPerFile {
		return done, invalid("perFile", "is %d, allowed are 1 to %d", r.PerFile, maxPerFile)
	}
	x, err := e.exporter(ctx, r.Hub, r.Filter)
	if err != nil {
		return done, err
	}
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return done, err
	}
	began := time.Now().UTC()
	tell := func() {
		if r.Tell != nil {
			r.Tell(done)
		}
	}
	x.tell = func(n Exported) {
		done.Exported = n
		tell()
	}
	for !x.over {
		some, err := e.List(ctx, r.Hub, x.filter, Page{Limit: 1, Ascending: true, After: x.page.After})
		if err != nil {
			return done, err
		}
		if len(some) == 0 {
			break // no file without instances
		}
		name := fmt.Sprintf("%s-%s-%06d.jsonl.gz", r.Hub, began.Format("20060102T150405.000Z"), len(done.Files)+1)
		var all []seen
		err = r.To.Put(ctx, name, func(to io.Writer) (err error) {
			all, err = x.file(ctx, to, r.PerFile)
			return err
		})
		if err != nil {
			return done, fmt.Errorf("archive: %s: %w", name, err)
		}
		done.Files = append(done.Files, name)
		purged, err := e.purgeUnchanged(ctx, hub.no, all)
		done.Purged += purged
		if err != nil {
			return done, err
		}
		done.Changed += int64(len(all)) - purged
		tell()
	}
	done.Exported = x.done
	return done, nil
}
