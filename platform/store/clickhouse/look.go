package clickhouse

import "context"

// Schema returns the version of the database's tables and the one that this build
// knows. It is for people who look; a writer brings the tables up to date.
func (r *Reader) Schema(ctx context.Context) (have, known int, err error) {
	entries, err := schema.ReadDir("schema")
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := withoutDeadline(ctx)
	defer cancel()
	var version int64
	if err := r.conn.QueryRow(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
		return 0, 0, r.target.explain("ask for the schema of", err)
	}
	return int(version), len(entries), nil
}

// Rights says what the server lets this user do.
func (r *Reader) Rights(ctx context.Context) (string, error) {
	confined, err := r.isConfined(ctx)
	switch {
	case err != nil:
		return "", r.target.explain("ask for the rights of this user in", err)
	case confined:
		return "reads", nil
	}
	return "reads and writes", nil
}
