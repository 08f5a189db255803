package httpd

// Routes returns the method and the path of each row of the table.
func Routes() (all []string) {
	for _, r := range routes {
		all = append(all, r.method+" "+r.path)
	}
	return all
}
