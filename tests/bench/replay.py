from .report import Section

def measure(bench): return Section("x")
