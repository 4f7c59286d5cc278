CHECKS = ()
def run_checks(machine): return ()
def lead(results): return results
def findings_of(results): return ()
